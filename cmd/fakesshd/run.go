package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
)

// Exit codes of fakesshd itself. `run` and `ssh` give their program's own.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	exitNever  = 255 // `run` and `ssh`: the program never ran
)

// exitError carries the exit code of a program, or of a failure that has been told already.
type exitError struct{ code int }

func (e *exitError) Error() string { return "" }

// usageError is a mistake on the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// run is the whole program: it returns the exit code.
func run(ctx context.Context, args []string, std stdio) int {
	var opt options
	root := command(&opt, std)
	root.SetArgs(args)
	root.SetIn(std.in)
	root.SetOut(std.out)
	root.SetErr(std.err)
	err := root.ExecuteContext(ctx)
	var exit *exitError
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exit):
		return exit.code
	case errors.As(err, &usage), !opt.begun:
		complain(std.err, err, "fakesshd --help lists the commands")
		return exitUsage
	default:
		complain(std.err, err, hint(err))
		return exitFailed
	}
}

// options are the flags that every command has.
type options struct {
	config string
	json   bool
	begun  bool // the command line has been understood
}

func command(opt *options, std stdio) *cobra.Command {
	root := &cobra.Command{
		Use:   "fakesshd",
		Short: "an SSH server whose sessions run anywhere in a tree of contexts",
		Long: `fakesshd is an SSH server that is a proxy and jump service over a tree of contexts: machines, sudo
accounts and containers that need no SSH server and nothing installed.`,
		SilenceUsage:     true,
		SilenceErrors:    true,
		TraverseChildren: true, // flags before a command are ours, whatever those after it are
		PersistentPreRun: func(*cobra.Command, []string) { opt.begun = true },
		Args:             cobra.NoArgs,
		RunE:             func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.PersistentFlags().StringVarP(&opt.config, "config", "c", "", "configuration `FILE`; without one, the user who starts it and the target local")
	root.AddCommand(
		serveCommand(opt, std),
		runCommand(opt, std),
		sshCommand(opt, std),
		treeCommand(opt, std),
		checkCommand(opt, std),
		knownHostsCommand(opt, std),
		versionCommand(opt, std),
		manCommand(root, std),
	)
	return root
}
