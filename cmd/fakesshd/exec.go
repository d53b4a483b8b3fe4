package main

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"fakessh"
)

func runCommand(opt *options, std stdio) *cobra.Command {
	var from string
	var deadline time.Duration
	cmd := &cobra.Command{
		Use:   "run [flags] [[ACCOUNT@]TARGET] -- PROGRAM [ARGUMENT…]",
		Short: "run a local program whose ssh, scp and sftp lead into a target",
		Long: `run starts PROGRAM here with an ssh, scp and sftp of its own: whatever host they are given means TARGET. Without TARGET
the host names are names of targets. It goes through the running gateway's tree, or one of its own. The exit status is the program's;
128+n when signal n killed it; 255 when it never ran.`,
		Example: `  fakesshd run web1 -- rsync -a src/ there:dst/
  fakesshd run -- scp web1:/etc/hosts app:/tmp/
  fakesshd run --from web1 db -- rsync -a /var/backup/ there:/restore/`,
		RunE: func(cmd *cobra.Command, args []string) error {
			dest, argv, err := splitDest(cmd, args)
			if err != nil {
				return err
			}
			return runProgram(cmd, opt, std, dest, argv, fakessh.From(from), fakessh.Deadline(deadline))
		},
	}
	cmd.Flags().SetInterspersed(false)
	cmd.Flags().StringVar(&from, "from", "", "run PROGRAM inside `TARGET` instead of here")
	cmd.Flags().DurationVar(&deadline, "deadline", 0, "kill the program after this long")
	return cmd
}

// splitDest tells the destination from the program: by "--", or the first word.
func splitDest(cmd *cobra.Command, args []string) (dest string, argv []string, err error) {
	switch at := cmd.ArgsLenAtDash(); {
	case at > 1:
		return "", nil, usageError{errors.New("run: one target before --")}
	case at == 0:
		argv = args
	case len(args) > 0:
		dest, argv = args[0], args[1:]
		if len(argv) > 0 && argv[0] == "--" {
			argv = argv[1:]
		}
	}
	if len(argv) == 0 {
		return "", nil, usageError{errors.New("run: no program given")}
	}
	return dest, argv, nil
}

func sshCommand(opt *options, std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ssh [flags] [ssh options] [ACCOUNT@]TARGET [COMMAND…]",
		Short: "a shell or a command in a target",
		Long: `ssh opens a session in a target through the running gateway's tree, or one of its own. It takes the options of OpenSSH's ssh
that make sense there: -t, -T, -l, -n, -N, -s, -W, -o.`,
		Example: `  fakesshd ssh web1
  fakesshd ssh root@web1+docker.app 'id; hostname'`,
		Args: positional(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runProgram(cmd, opt, std, "", append([]string{"ssh"}, args...))
		},
	}
	cmd.Flags().SetInterspersed(false)
	cmd.FParseErrWhitelist.UnknownFlags = false
	return cmd
}

// runProgram runs argv with its ssh replaced, and passes its exit status on.
func runProgram(cmd *cobra.Command, opt *options, std stdio, dest string, argv []string, opts ...fakessh.RunOption) error {
	cfg, err := loadConfig(opt.config)
	if err != nil {
		return failed(std, err)
	}
	im, err := loadImages()
	if err != nil {
		return failed(std, err)
	}
	opts = append(opts, fakessh.ControlSocket(cfg.ControlSocket), fakessh.UseConfig(cfg.treeConfig(im)), fakessh.ForwardSignals())
	status, err := fakessh.Run(cmd.Context(), dest, argv, opts...)
	if err != nil {
		return failed(std, err)
	}
	if status != 0 {
		return &exitError{status}
	}
	return nil
}

// failed tells why the program never ran.
func failed(std stdio, err error) error {
	complain(std.err, err, hint(err))
	return &exitError{exitNever}
}
