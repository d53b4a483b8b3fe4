// Command fakesshd is an SSH server whose sessions run anywhere in a tree of contexts.
package main

import (
	"context"
	"io"
	"os"

	"fakessh/bootstrap/agent/role"
)

func main() {
	if code, done := role.Main(os.Args); done {
		os.Exit(code)
	}
	shareProcessors()
	os.Exit(run(context.Background(), os.Args[1:], stdio{os.Stdin, os.Stdout, os.Stderr}))
}

// stdio is where a command reads and speaks.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}
