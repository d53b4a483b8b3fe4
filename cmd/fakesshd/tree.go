package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fakessh"
)

func treeCommand(opt *options, std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tree",
		Short: "the running gateway's contexts, as a picture",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(opt.config)
			if err != nil {
				return err
			}
			nodes, err := askTree(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			if opt.json {
				enc := json.NewEncoder(std.out)
				enc.SetIndent("", "  ")
				return enc.Encode(nodes)
			}
			drawTree(std.out, nodes, time.Now())
			return nil
		},
	}
	cmd.Flags().BoolVar(&opt.json, "json", false, "as JSON")
	return cmd
}

// drawTree draws the gateway with the contexts below it. nodes has parents before children.
func drawTree(w io.Writer, nodes []fakessh.Node, now time.Time) {
	children := map[uint32][]fakessh.Node{}
	for _, n := range nodes {
		if n.ID != 0 {
			children[n.Parent] = append(children[n.Parent], n)
		}
	}
	fmt.Fprintln(w, "gateway")
	drawBelow(w, children, 0, "", now)
}

func drawBelow(w io.Writer, children map[uint32][]fakessh.Node, id uint32, indent string, now time.Time) {
	list := children[id]
	for i, n := range list {
		branch, below := "├── ", "│   "
		if i == len(list)-1 {
			branch, below = "└── ", "    "
		}
		fmt.Fprintf(w, "%s%s%s\n", indent, branch, describe(n, now))
		if n.ID != 0 {
			drawBelow(w, children, n.ID, indent+below, now)
		}
	}
}

// describe is a node's line: name, method, who and where, sessions, age.
func describe(n fakessh.Node, now time.Time) string {
	parts := []string{n.Name, "(" + n.Method + ")"}
	if n.State != "up" {
		return strings.Join(append(parts, n.State), " ")
	}
	parts = append(parts, fmt.Sprintf("%s, %s, pid %d", n.User, n.Platform, n.PID))
	switch n.Sessions {
	case 0:
		parts = append(parts, "idle")
	case 1:
		parts = append(parts, "1 session")
	default:
		parts = append(parts, fmt.Sprintf("%d sessions", n.Sessions))
	}
	parts = append(parts, "up "+now.Sub(n.Since).Round(time.Second).String())
	if n.RTT > 0 {
		parts = append(parts, "rtt "+n.RTT.Round(10*time.Microsecond).String())
	}
	return strings.Join(parts, " ")
}
