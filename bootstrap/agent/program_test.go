package agent

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fakessh/bootstrap/agent/session"
)

// ann is an account whose home is home.
func ann(home, shell string) account {
	return account{Name: "ann", UID: 4242, GID: 4242, Home: home, Shell: shell}
}

func TestPlan(t *testing.T) {
	home := t.TempDir()
	for _, tc := range []struct {
		spec session.Spec
		path string
		argv []string
	}{
		{session.Spec{Kind: session.Shell}, "/bin/sh", []string{"-sh"}},
		{session.Spec{Kind: session.Exec, Command: "a 'b c'"}, "/bin/sh", []string{"sh", "-c", "a 'b c'"}},
		{session.Spec{Kind: session.Exec}, "/bin/sh", []string{"sh", "-c", ""}},
		{session.Spec{Kind: session.Argv, Args: []string{"/bin/sh", "x"}}, "/bin/sh", []string{"/bin/sh", "x"}},
	} {
		p, err := plan(ann(home, "/bin/sh"), &tc.spec, "", &extras{})
		if err != nil || p.path != tc.path || !slices.Equal(p.argv, tc.argv) || p.dir != home || p.refusal != "" || p.warning != "" {
			t.Errorf("%+v: %+v, %v", tc.spec, p, err)
		}
	}
}

func TestPlanWithoutAHome(t *testing.T) {
	p, err := plan(ann("/no/such/home", "/bin/sh"), &session.Spec{Kind: session.Shell}, "", &extras{})
	const want = "Could not chdir to home directory /no/such/home: No such file or directory\n"
	if err != nil || p.dir != "/" || p.warning != want || p.env.get("HOME") != "/no/such/home" {
		t.Errorf("got %+v, %v", p, err)
	}
}

func TestPlanWithoutAShell(t *testing.T) {
	p, err := plan(ann("/", "/bin/no-such-shell"), &session.Spec{Kind: session.Exec, Command: "true"}, "", &extras{})
	if err != nil || p.status != statusNotFound || p.refusal != "/bin/no-such-shell: No such file or directory\n" {
		t.Errorf("got %+v, %v", p, err)
	}
}

func TestNologin(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nologin")
	if _, ok := nologin(ann("/", ""), file); ok {
		t.Error("refused without a file")
	}
	if err := os.WriteFile(file, []byte("down for repairs\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if text, ok := nologin(ann("/", ""), file); !ok || text != "down for repairs\n" {
		t.Errorf("got %q, %v", text, ok)
	}
	if _, ok := nologin(account{UID: 0}, file); ok {
		t.Error("root is kept out")
	}
}

// TestRefusalIsASession: a program that never runs ends like one that has: its text, its status, EOF.
func TestRefusalIsASession(t *testing.T) {
	w := newWorld(t)
	a := account{Name: "ann", UID: os.Geteuid(), Home: "/", Shell: "/bin/no-such-shell"}
	w.agent.account = func() account { return a }
	got := w.run(sh("true"), "input that nobody reads")
	if want := (result{"", "/bin/no-such-shell: No such file or directory\n", session.Exit{Status: 127}}); got != want {
		t.Errorf("got %+v", got)
	}
	got = w.run(onPTY("true"), "")
	if want := (result{"/bin/no-such-shell: No such file or directory\r\n", "", session.Exit{Status: 127}}); got != want {
		t.Errorf("got %+v", got)
	}
	a.Shell, a.Home = "/bin/sh", "/no/such/home"
	got = w.run(sh("pwd; echo $HOME"), "")
	if got.stdout != "/\n/no/such/home\n" || !strings.HasPrefix(got.stderr, "Could not chdir to home directory") {
		t.Errorf("got %+v", got)
	}
	a.Shell = "/usr/sbin/nologin"
	for _, spec := range []session.Spec{{Kind: session.Subsystem, Command: "sftp"}, {Kind: session.Subsystem, Command: "netconf"}} {
		if _, err := session.Start(t.Context(), w.peer, &spec); err == nil {
			t.Errorf("%q starts", spec.Command)
		}
	}
}

// TestRootWithoutPasswd: container roots often have no account files at all.
func TestAccountWithoutPasswd(t *testing.T) {
	a := madeUp(0)
	if want := (account{Name: "root", UID: 0, GID: os.Getegid(), Home: "/", Shell: "/bin/sh"}); a != want {
		t.Errorf("got %+v", a)
	}
	if a := madeUp(77); a.Name != "77" {
		t.Errorf("got %+v", a)
	}
}
