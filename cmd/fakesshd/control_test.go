package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOnlyStaleSocketsAreRemoved(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "fakesshd-test-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := func(name string) string { return filepath.Join(dir, name) }
	listen := func(name string) *net.UnixListener {
		ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path(name), Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		ln.SetUnlinkOnClose(false) // as a gateway that is killed
		return ln
	}
	listen("stale").Close()
	defer listen("live").Close()
	if err := os.WriteFile(path("file"), []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path("stale"), path("link")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"nothing": "", "live": "another gateway is listening", "file": "no socket", "link": "no socket",
	} {
		err := removeStale(path(name))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"live", "file", "link"} {
		if _, err := os.Lstat(path(name)); err != nil {
			t.Errorf("%s is gone: %v", name, err)
		}
	}
	if err := removeStale(path("stale")); err != nil {
		t.Error(err)
	}
	listen("stale").Close() // the address is free
}
