package main

import (
	"errors"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fakessh"
	"fakessh/bootstrap/agent/role"
	"fakessh/bootstrap/agent/session"
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
		Use:   "ssh [--config FILE] [ssh options] [ACCOUNT@]TARGET [COMMAND…]",
		Short: "a shell or a command in a target",
		Long: `ssh opens a session in a target through the running gateway's tree, or one of its own. The first word that is neither --config nor
--help begins the command line of OpenSSH's ssh, whose options are all understood; -c there is a cipher. The exit status is the remote
command's, or 255.`,
		Example: `  fakesshd ssh web1
  fakesshd ssh -t root@web1+docker.app 'top; hostname'
  fakesshd ssh -N -L 8080:127.0.0.1:80 web1`,
		DisableFlagParsing: true, // they are ssh's
		RunE: func(cmd *cobra.Command, args []string) error {
			args, err := ownFlags(opt, args)
			switch {
			case err != nil:
				return failed(std, err)
			case len(args) == 0:
				return failed(std, errors.New("ssh: no target given"))
			case args[0] == "--help":
				return cmd.Help()
			}
			return becomeSSH(cmd, opt, std, append([]string{"ssh"}, args...))
		},
	}
	cmd.Flags().StringVar(&opt.config, "config", "", "configuration `FILE`; -c is ssh's") // for the help: it has no short form here
	return cmd
}

// becomeSSH is the run of an ssh alone. With a gateway it needs no other process: this one becomes that ssh, so that what ends it ends the session,
// and there is nothing that it could leave behind.
func becomeSSH(cmd *cobra.Command, opt *options, std stdio, argv []string) error {
	cfg, err := loadConfig(opt.config)
	if err != nil {
		return failed(std, err)
	}
	socket := fakessh.LiveControlSocket(cfg.Sockets...)
	if socket == "" {
		return runProgram(cmd, opt, std, "", argv)
	}
	if err := errors.Join(os.Setenv(session.EnvSocket, socket), os.Unsetenv(session.EnvDest)); err != nil {
		return failed(std, err)
	}
	status, _ := role.Main(argv)
	return exitWith(status)
}

// ownFlags takes --config off the front of args; all that follows is ssh's.
func ownFlags(opt *options, args []string) ([]string, error) {
	for len(args) > 0 {
		file, ok := strings.CutPrefix(args[0], "--config=")
		switch {
		case ok:
			opt.config, args = file, args[1:]
		case args[0] != "--config":
			return args, nil
		case len(args) == 1:
			return nil, errors.New("ssh: --config needs a file")
		default:
			opt.config, args = args[1], args[2:]
		}
	}
	return args, nil
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
	opts = append(opts, fakessh.ControlSocket(cfg.Sockets...), fakessh.UseConfig(cfg.treeConfig(im)), fakessh.ForwardSignals())
	status, err := fakessh.Run(cmd.Context(), dest, argv, opts...)
	if err != nil {
		return failed(std, err)
	}
	return exitWith(status)
}

// exitWith is what has the command end with a program's exit status.
func exitWith(status int) error {
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
