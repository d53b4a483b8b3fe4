package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const passwdText = `root:x:0:0:root:/root:/bin/bash
broken line
toor:x:0:0::/root:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
plain:x:1000:1001:,,,::
bad:x:-1:0::/:/bin/sh
`

func TestFindAccount(t *testing.T) {
	for _, tc := range []struct {
		uid       int
		preferred string
		want      account
		ok        bool
	}{
		{0, "", account{"root", 0, 0, "/root", "/bin/bash"}, true},
		{0, "toor", account{"toor", 0, 0, "/root", "/bin/sh"}, true},
		{0, "nobody", account{"root", 0, 0, "/root", "/bin/bash"}, true},
		{1000, "", account{"plain", 1000, 1001, "/", "/bin/sh"}, true},
		{7, "root", account{}, false},
	} {
		got, ok := findAccount(strings.NewReader(passwdText), tc.uid, tc.preferred)
		if got != tc.want || ok != tc.ok {
			t.Errorf("findAccount(%d, %q) = %+v, %v; want %+v, %v", tc.uid, tc.preferred, got, ok, tc.want, tc.ok)
		}
	}
}

func TestBSDLine(t *testing.T) {
	line := bsdLine("ann:********:501:20::0:0:Ann:/Users/ann:/bin/zsh\n")
	a, err := parsePasswdLine(line)
	if want := (account{"ann", 501, 20, "/Users/ann", "/bin/zsh"}); err != nil || a != want {
		t.Errorf("got %+v, %v; want %+v", a, err, want)
	}
}

func FuzzPasswdLine(f *testing.F) {
	for line := range strings.Lines(passwdText) {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		a, err := parsePasswdLine(line)
		if err == nil && (a.Name == "" || a.Home == "" || a.Shell == "" || a.UID < 0 || a.GID < 0) {
			t.Errorf("%q gives %+v", line, a)
		}
	})
}

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
