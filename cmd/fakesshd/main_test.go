package main

import (
	"context"
	"os"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"fakessh/bootstrap/agent/role"
)

func TestMain(m *testing.M) {
	// The test binary serves its own platform as image, as a plain `go build` does.
	if status, ok := role.Main(os.Args); ok {
		os.Exit(status)
	}
	syscall.Umask(0o022) // configurations that others may write are refused
	testscript.Main(m, map[string]func(){
		"fakesshd": func() {
			os.Exit(run(context.Background(), os.Args[1:], stdio{os.Stdin, os.Stdout, os.Stderr}))
		},
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("XDG_RUNTIME_DIR", env.WorkDir+"/rt")
			return nil
		},
	})
}
