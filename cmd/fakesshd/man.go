package main

import (
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// manCommand writes the man pages, one for each command.
func manCommand(root *cobra.Command, std stdio) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "man",
		Short: "write the man pages; without --dir, the main one to standard output",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			header := &doc.GenManHeader{Title: "FAKESSHD", Section: "8", Source: "fakesshd " + version()}
			root.DisableAutoGenTag = true
			if dir == "" {
				return doc.GenMan(root, header, std.out)
			}
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			return doc.GenManTree(root, header, dir)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "write into `DIR`, one file for each command")
	return cmd
}
