package main

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fakessh/authz"
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

func TestClientsFindTheSystemsGateway(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/1234")
	own, err := loadConfig("")
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"/run/user/1234/fakesshd/control.sock", "/run/fakesshd/control.sock"}; !slices.Equal(own.Sockets, want) {
		t.Errorf("looked for at %q", own.Sockets)
	}
	g := startGateway(t, "", permitAll)
	if want := []string{filepath.Join(g.dir, "control.sock")}; !slices.Equal(g.cfg.Sockets, want) {
		t.Errorf("with control_socket, looked for at %q", g.cfg.Sockets)
	}
	stale := filepath.Join(g.dir, "stale.sock")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	ln.Close()
	own.Sockets = []string{filepath.Join(g.dir, "none.sock"), stale, g.cfg.ControlSocket}
	if _, err := askTree(t.Context(), own); err != nil {
		t.Error(err)
	}
}

// Another account finds it, and is told what it is not.
func TestAnotherAccountIsTold(t *testing.T) {
	g := startGateway(t, "", permitAll)
	users, err := authz.NewUsers(map[string]authz.User{"other": {Unix: "nobody"}})
	if err != nil {
		t.Fatal(err)
	}
	g.users.Replace(users)
	_, err = askTree(t.Context(), g.cfg)
	if err == nil || !strings.Contains(err.Error(), "is no user of this gateway") {
		t.Errorf("got %v", err)
	}
}
