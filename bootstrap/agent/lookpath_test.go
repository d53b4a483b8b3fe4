package agent

import (
	"os"
	"path/filepath"
	"testing"
)

func TestLookPath(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("tool", 0o755)
	write("data", 0o644)
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, path, dir, want string }{
		{"tool", "/nowhere:" + dir, "/", filepath.Join(dir, "tool")},
		{"data", dir, "/", os.ErrPermission.Error()},
		{"folder", dir, "/", os.ErrPermission.Error()},
		{"absent", dir, "/", errNotFound.Error()},
		{"./tool", "/nowhere", dir, "./tool"},
		{"./tool", dir, "/", errNotFound.Error()},
		{"tool", "", dir, "tool"},
	} {
		got, err := lookPath(tc.name, tc.path, tc.dir)
		if err != nil {
			got = err.Error()
		}
		if got != tc.want {
			t.Errorf("lookPath(%q, %q, %q) = %q, want %q", tc.name, tc.path, tc.dir, got, tc.want)
		}
	}
}
