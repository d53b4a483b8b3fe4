package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is that of the module, "(devel)" for a build of a checkout.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

func versionCommand(opt *options, std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "the version, and the platforms whose images are inside",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				Version   string   `json:"version"`
				Go        string   `json:"go"`
				Platforms []string `json:"platforms"`
			}{version(), runtime.Version(), platforms()}
			if opt.json {
				return json.NewEncoder(std.out).Encode(v)
			}
			fmt.Fprintf(std.out, "fakesshd %s (%s)\n", v.Version, v.Go)
			for _, p := range v.Platforms {
				fmt.Fprintf(std.out, "image %s\n", p)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&opt.json, "json", false, "as JSON")
	return cmd
}
