package agent

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fakessh/bootstrap/agent/session"
)

func TestSessionEnv(t *testing.T) {
	t.Setenv("TZ", "Europe/Berlin")
	t.Setenv("FAKESSH_SECRET", "leak")
	file := filepath.Join(t.TempDir(), "environment")
	text := "# comment\nexport LANG=\"C.UTF-8\"\nEMPTY=\nbad-name=1\nnoequals\nQUOTED='a b' # tail\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	spec := &session.Spec{
		Kind: session.Shell,
		Env: map[string]string{
			"LC_ALL": "de_DE.UTF-8", "LANG": "xx", "USER": "mallory", "LD_PRELOAD": "/evil.so",
			"BASH_ENV": "/evil", "ENV": "/evil", "DYLD_INSERT_LIBRARIES": "/evil", "BASH_FUNC_ls%%": "() { :; }", "SSH_TTY": "/dev/evil",
		},
		PTY:        &session.PTY{Term: "xterm-256color"},
		ClientAddr: "192.0.2.1 50000",
		ServerAddr: "192.0.2.2 22",
	}
	got := sessionEnv(account{Name: "ann", UID: 1000, GID: 1000, Home: "/home/ann", Shell: "/bin/zsh"}, spec, "/dev/pts/7", file, "/nonexistent").vars
	want := []string{
		"LANG=C.UTF-8", "LC_ALL=de_DE.UTF-8", "USER=ann", "LOGNAME=ann", "HOME=/home/ann", "PATH=" + userPath,
		"MAIL=/var/mail/ann", "SHELL=/bin/zsh", "TZ=Europe/Berlin", "EMPTY=", "QUOTED=a b",
		"SSH_CLIENT=192.0.2.1 50000 22", "SSH_CONNECTION=192.0.2.1 50000 192.0.2.2 22", "SSH_TTY=/dev/pts/7", "TERM=xterm-256color",
	}
	if !slices.Equal(got, want) {
		t.Errorf("environment:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestRootHasSbin(t *testing.T) {
	e := sessionEnv(account{Name: "root", Home: "/root", Shell: "/bin/sh"}, &session.Spec{}, "")
	if path := e.get("PATH"); !strings.Contains(path, "/usr/sbin") {
		t.Errorf("PATH of root is %q", path)
	}
	for _, name := range []string{"SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY", "TERM"} {
		if v := e.get(name); v != "" {
			t.Errorf("%s=%q without a client address or a terminal", name, v)
		}
	}
}

func FuzzEnvLine(f *testing.F) {
	for _, s := range []string{"A=b", "export A='b'", "#", "A=\"", "=x", "1A=2", "A=b#c", "A='"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		name, value, ok := parseEnvLine(line)
		if ok && (!isName(name) || strings.ContainsAny(value, "\x00\n")) && !strings.Contains(line, "\n") {
			t.Errorf("%q gives %q = %q", line, name, value)
		}
	})
}
