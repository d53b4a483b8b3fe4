// Command fakesshd is an SSH server whose sessions run anywhere in a tree of contexts.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"fakessh/bootstrap/agent/role"
)

func main() {
	if code, done := role.Main(os.Args); done {
		os.Exit(code)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], stdio{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

// stdio is where a command reads and speaks.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}
