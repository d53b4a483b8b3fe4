package methods_test

import (
	"os"
	"path/filepath"
	"testing"

	"fakessh/methods"
	"fakessh/methods/methodtest"
)

func TestLocal(t *testing.T) {
	methodtest.Run(t, methodtest.Case{
		Method:   "local",
		Stub:     shellFromPath,
		Handover: methodtest.Itself,
		Argv: []methodtest.Argv{
			{Name: "plain", Want: methodtest.Boot},
		},
	})
}

// shellFromPath makes the stub what is found under the name sh.
func shellFromPath(t *testing.T, _ methods.Params, path string) {
	if err := os.Symlink(path, filepath.Join(filepath.Dir(path), "sh")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Dir(path)+":"+os.Getenv("PATH"))
}
