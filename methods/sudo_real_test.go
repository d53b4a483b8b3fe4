package methods_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"fakessh/methods"
	"fakessh/methods/methodtest"
)

// asAccount makes a sudo for an account that is not root, with what the sudoers file says of it. It gives the parameters that use it.
func asAccount(t *testing.T, acc account, rule string, defaults ...string) methods.Params {
	t.Helper()
	need(t, "sudo", "setpriv", "visudo")
	text := fmt.Sprintf("%s ALL=(ALL:ALL) %s\n", acc.name, rule)
	for _, d := range defaults {
		text += "Defaults:" + acc.name + " " + d + "\n"
	}
	path := filepath.Join("/etc/sudoers.d", acc.name)
	if err := os.WriteFile(path, []byte(text), 0o440); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(path) })
	mustRun(t, nil, "visudo", "-cqf", path)
	tool := filepath.Join(publicDir(t), "sudo")
	script := fmt.Sprintf("#!/bin/sh\nexec setpriv --reuid %d --regid %d --clear-groups env HOME=%s USER=%s LOGNAME=%s sudo \"$@\"\n",
		acc.uid, acc.gid, acc.home, acc.name, acc.name)
	if err := os.WriteFile(tool, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return methods.Params{"sudo_path": tool}
}

func TestRealSudo(t *testing.T) {
	withRealTool(t)
	for _, c := range []struct {
		name     string
		rule     string
		defaults []string
		params   methods.Params
	}{
		{name: "password", rule: "ALL", params: methods.Params{"password": "yes"}},
		{name: "password, own terminal", rule: "ALL", defaults: []string{"use_pty, requiretty"}, params: methods.Params{"password": "yes"}},
		{name: "password, stars", rule: "ALL", defaults: []string{"pwfeedback, lecture=always"}, params: methods.Params{"password": "yes"}},
		{name: "no password", rule: "NOPASSWD: ALL"},
		{name: "no password, requiretty", rule: "NOPASSWD: ALL", defaults: []string{"requiretty"}},
		{name: "no password, own terminal", rule: "NOPASSWD: ALL", defaults: []string{"use_pty"}},
		{name: "login", rule: "NOPASSWD: ALL", params: methods.Params{"login": true}},
		{name: "home and environment", rule: "NOPASSWD:SETENV: ALL", params: methods.Params{"sudo_args": []string{"-HE"}}},
		{name: "another account", rule: "NOPASSWD: ALL", params: methods.Params{"username": "nobody"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			acc := newAccount(t, "/bin/sh")
			params := asAccount(t, acc, c.rule, c.defaults...)
			for k, v := range c.params {
				params[k] = v
			}
			if params["password"] != nil {
				params["password"] = acc.password
			}
			conn := wantEcho(t, "sudo", params)
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
			if status := conn.Exited(t.Context()); status != "exit status 0" {
				t.Errorf("sudo ended with %s", status)
			}
		})
	}
}

func TestRealSudoRefusals(t *testing.T) {
	withRealTool(t)
	for _, c := range []struct {
		name     string
		rule     string
		defaults []string
		password string
		want     string
	}{
		{name: "wrong", rule: "ALL", password: "wrong", want: "sudo password is incorrect"},
		{name: "wrong, one try", rule: "ALL", defaults: []string{"passwd_tries=1"}, password: "wrong", want: "sudo password is incorrect"},
		{name: "missing", rule: "ALL", want: "sudo password is required"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			params := asAccount(t, newAccount(t, "/bin/sh"), c.rule, c.defaults...)
			if c.password != "" {
				params["password"] = c.password
			}
			err := wantError(t, "sudo", params, c.want)
			if wrong := (*methods.PasswordError)(nil); !errors.As(err, &wrong) {
				t.Errorf("the error is a %T", err)
			}
		})
	}
	t.Run("not in sudoers", func(t *testing.T) {
		t.Parallel()
		acc := newAccount(t, "/bin/sh")
		params := asAccount(t, acc, "/bin/true")
		params["password"] = acc.password
		err := wantError(t, "sudo", params, "Sorry, user "+acc.name+" is not allowed to execute a shell")
		var eof *methods.EOFError
		if !errors.As(err, &eof) || eof.Status != "exit status 1" {
			t.Errorf("the error is %#v", err)
		}
	})
}

// Root's sudo cannot be signalled by an account: it has to go all the same.
func TestRealSudoUnsignalled(t *testing.T) {
	if name := os.Getenv("FAKESSH_TEST_UNSIGNALLED"); name != "" {
		runUnsignalled(t)
		return
	}
	withRealTool(t)
	acc := newAccount(t, "/bin/sh")
	asAccount(t, acc, "NOPASSWD: /usr/bin/sh\n"+acc.name+" ALL=(nobody) PASSWD: ALL")
	self := filepath.Join(publicDir(t), "self")
	mustRun(t, nil, "cp", os.Args[0], self)
	cmd := exec.Command(self, "-test.run=^TestRealSudoUnsignalled$", "-test.v")
	cmd.Dir = acc.home
	cmd.Env = []string{"FAKESSH_TEST_UNSIGNALLED=1", "HOME=" + acc.home, "PATH=" + os.Getenv("PATH"), "GORACE=atexit_sleep_ms=0"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(acc.uid), Gid: uint32(acc.gid)}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func runUnsignalled(t *testing.T) {
	begin := time.Now()
	conn := wantEcho(t, "sudo", methods.Params{})
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	wantError(t, "sudo", methods.Params{"username": "nobody"}, "sudo password is required")
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestRealSetuid(t *testing.T) {
	withRealTool(t)
	acc := newAccount(t, "/bin/dash")
	mustRun(t, nil, "usermod", "-aG", "adm,games", acc.name)
	facts := setuidFacts(t, methodtest.OwnImages(t), acc.name)
	group := mustRun(t, nil, "id", "-G", acc.name)
	if want := fmt.Sprint(acc.uid, acc.uid, acc.gid, acc.gid); facts[0] != want {
		t.Errorf("ids are %s, want %s", facts[0], want)
	}
	if len(sortedIDs(facts[1])) != 3 || !equalIDs(facts[1], group) {
		t.Errorf("groups are %s, want %s", facts[1], group)
	}
	if facts[2] != acc.home {
		t.Errorf("the directory is %s", facts[2])
	}
	checkAccountEnv(t, facts[3], acc)
}

func TestRealSetuidWithoutHome(t *testing.T) {
	withRealTool(t)
	acc := newAccount(t, "/bin/sh")
	if err := os.Chmod(acc.home, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(acc.home, 0, 0); err != nil {
		t.Fatal(err)
	}
	if facts := setuidFacts(t, methodtest.OwnImages(t), acc.name); facts[2] != "/" {
		t.Errorf("the directory is %s", facts[2])
	}
}

func TestRealSetuidUnknown(t *testing.T) {
	withRealTool(t)
	needRoot(t)
	err := wantError(t, "setuid", methods.Params{"username": "no-such-account"}, `no account "no-such-account"`)
	if unknown := (*methods.AccountError)(nil); !errors.As(err, &unknown) || unknown.Name != "no-such-account" {
		t.Errorf("the error is %#v", err)
	}
}
