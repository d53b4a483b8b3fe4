package methods_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"fakessh/methods"
)

// The tests here use OpenSSH on both sides.

func TestRealSSHKey(t *testing.T) {
	withRealTool(t)
	s := newSSHD(t)
	conn := wantEcho(t, "ssh", s.params(t))
	if want := "ssh.127.0.0.1:" + strconv.Itoa(s.port); conn.Name != want {
		t.Errorf("the context is called %q, want %q", conn.Name, want)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if status := conn.Exited(t.Context()); status != "exit status 0" {
		t.Errorf("ssh ended with %s", status)
	}
}

func TestRealSSHCiphers(t *testing.T) {
	withRealTool(t)
	s := newSSHD(t)
	config := s.write(t, "ssh_config", "Host *\n  Ciphers aes192-ctr\n")
	for _, c := range []struct {
		name   string
		change func(methods.Params)
		want   string
	}{
		{"by default", func(methods.Params) {}, "aes128-gcm@openssh.com"},
		{"chosen", func(p methods.Params) { p["ciphers"] = []string{"aes256-ctr"} }, "aes256-ctr"},
		{"chosen in ssh_args", func(p methods.Params) { p["ssh_args"] = []string{"-c", "aes128-ctr"} }, "aes128-ctr"},
		{"chosen in ssh_config", func(p methods.Params) { p["ssh_config"] = config }, "aes192-ctr"},
	} {
		t.Run(c.name, func(t *testing.T) {
			params := s.params(t)
			c.change(params)
			from := len(s.log.String())
			wantEcho(t, "ssh", params)
			if said := s.log.String()[from:]; !strings.Contains(said, "kex: client->server cipher: "+c.want+" ") {
				t.Errorf("the cipher is not %s:\n%s", c.want, said)
			}
		})
	}
}

// An ssh_config made for people must not get in the way of a link.
func TestRealSSHConfigOfAPerson(t *testing.T) {
	withRealTool(t)
	s := newSSHD(t)
	params := s.params(t)
	params["ssh_config"] = s.write(t, "ssh_config", "Host *\n  RequestTTY force\n  RemoteCommand tmux attach\n  ForwardAgent yes\n"+
		"  LocalForward "+strconv.Itoa(s.port)+" 127.0.0.1:1\n  ExitOnForwardFailure yes\n  PermitLocalCommand yes\n  LocalCommand touch "+s.path("touched")+"\n"+
		"  ControlMaster auto\n  ControlPath "+s.path("ctl")+"\n  ControlPersist 60\n  EscapeChar ~\n")
	wantEcho(t, "ssh", params)
	for _, name := range []string{"touched", "ctl"} {
		if _, err := os.Lstat(s.path(name)); err == nil {
			t.Errorf("%s is there", name)
		}
	}
}

func TestRealSSHPassword(t *testing.T) {
	withRealTool(t)
	for _, way := range []struct{ name, config string }{
		{"password", "KbdInteractiveAuthentication no\nPasswordAuthentication yes"},
		{"keyboard-interactive", "KbdInteractiveAuthentication yes\nPasswordAuthentication no"},
		{"both", "KbdInteractiveAuthentication yes\nPasswordAuthentication yes"},
	} {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			acc := newAccount(t, "/bin/sh")
			s := newSSHD(t, way.config)
			params := s.params(t)
			params["username"] = acc.name
			params["identity_file"] = nil

			params["password"] = methods.Secret(acc.password)
			wantEcho(t, "ssh", params)

			params["password"] = methods.Secret("wrong")
			err := wantError(t, "ssh", params, "SSH password is incorrect")
			if wrong := (*methods.PasswordError)(nil); !errors.As(err, &wrong) {
				t.Errorf("the error is a %T", err)
			}
			delete(params, "password")
			if way.name == "keyboard-interactive" {
				wantError(t, "ssh", params, "SSH authentication is incorrect")
			} else {
				wantError(t, "ssh", params, "SSH password was requested, but none specified")
			}
		})
	}
}

// A key that would need a passphrase is passed over.
func TestRealSSHLockedKey(t *testing.T) {
	withRealTool(t)
	s := newSSHD(t)
	acc := newAccount(t, "/bin/sh")
	mustRun(t, nil, "ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", s.path("locked"))
	params := s.params(t)
	params["identity_file"] = s.path("locked")
	wantError(t, "ssh", params, "SSH password was requested, but none specified, and key "+s.path("locked")+" has a passphrase")
	params["username"] = acc.name
	params["password"] = acc.password
	wantEcho(t, "ssh", params)
}

func TestRealSSHHostKeys(t *testing.T) {
	withRealTool(t)
	s := newSSHD(t)
	empty := s.write(t, "empty", "")
	port := strconv.Itoa(s.port)
	for _, c := range []struct {
		name, mode, known string
		want              string
		kind              methods.HostKeyError
	}{
		{name: "known", mode: "enforce", known: s.knownHosts(t, "host.pub")},
		{name: "unknown", mode: "enforce", known: empty, want: "host key unknown (ED25519, [127.0.0.1]:" + port + ")",
			kind: methods.HostKeyError{Reason: "unknown", Key: "ED25519", Host: "[127.0.0.1]:" + port}},
		{name: "changed", mode: "enforce", known: s.knownHosts(t, "id.pub"), want: "host key changed (known_id.pub line 3)",
			kind: methods.HostKeyError{Reason: "changed", Key: "ED25519", File: s.path("known_id.pub"), Line: 3}},
		{name: "changed does not accept", mode: "accept", known: s.knownHosts(t, "id.pub"), want: "host key changed (known_id.pub line 3)",
			kind: methods.HostKeyError{Reason: "changed", Key: "ED25519", File: s.path("known_id.pub"), Line: 3}},
		{name: "ignored", mode: "ignore", known: s.knownHosts(t, "id.pub")},
	} {
		t.Run(c.name, func(t *testing.T) {
			params := s.params(t)
			params["check_host_keys"] = c.mode
			params["known_hosts_files"] = []string{c.known}
			if c.want == "" {
				wantEcho(t, "ssh", params)
				return
			}
			err := wantError(t, "ssh", params, c.want)
			var hostKey *methods.HostKeyError
			if !errors.As(err, &hostKey) || *hostKey != c.kind {
				t.Errorf("the error is %#v", hostKey)
			}
		})
	}
}

func TestRealSSHRevokedHostKey(t *testing.T) {
	withRealTool(t)
	s := newSSHD(t)
	pub, err := os.ReadFile(s.path("host.pub"))
	if err != nil {
		t.Fatal(err)
	}
	params := s.params(t)
	params["known_hosts_files"] = []string{s.write(t, "revoked", "@revoked * "+string(pub))}
	wantError(t, "ssh", params, "host key revoked")
}

func TestRealSSHAcceptRemembers(t *testing.T) {
	withRealTool(t)
	s := newSSHD(t)
	params := s.params(t)
	params["known_hosts_files"] = []string{s.path("new hosts"), s.path("other")}
	params["check_host_keys"] = "accept"
	wantEcho(t, "ssh", params)
	params["check_host_keys"] = "enforce"
	wantEcho(t, "ssh", params)
}

func TestRealSSHUnreachable(t *testing.T) {
	withRealTool(t)
	need(t, "ssh")
	port := freePort(t)
	params := methods.Params{"hostname": "127.0.0.1", "port": port, "ssh_config": "none"}
	wantError(t, "ssh", params, "connect to host 127.0.0.1 port "+strconv.Itoa(port)+": Connection refused")
	params["ssh_args"] = []string{"-o", "Nonsense=1"}
	wantError(t, "ssh", params, "command-line: line 0: Bad configuration option: nonsense")
	params = methods.Params{"hostname": "127.0.0.1", "ssh_args": []string{"-J", "127.0.0.1:" + strconv.Itoa(port)}, "ssh_config": "none"}
	wantError(t, "ssh", params, "connect to host 127.0.0.1 port "+strconv.Itoa(port)+": Connection refused")
}

func TestRealSSHIdentityFile(t *testing.T) {
	withRealTool(t)
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"open": 0o644, "agent.pub": 0o644} {
		if err := os.WriteFile(dir+"/"+name, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	params := methods.Params{"hostname": "127.0.0.1", "port": 1, "ssh_config": "none"}
	for file, want := range map[string]string{
		dir + "/none":  `identity file "` + dir + `/none": no such file or directory`,
		dir:            `identity file "` + dir + `": is a directory`,
		dir + "/open":  `identity file "` + dir + `/open": mode 644 is too open, ssh refuses it`,
		dir + "/agent": "connect to host 127.0.0.1 port 1: Connection refused",
	} {
		params["identity_file"] = file
		wantError(t, "ssh", params, want)
	}
}

func TestRealSSHLoginShells(t *testing.T) {
	withRealTool(t)
	s := newSSHD(t)
	for _, shell := range []string{"bash", "fish", "tcsh", "dash"} {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			need(t, shell)
			path, _ := exec.LookPath(shell)
			acc := newAccount(t, path)
			params := s.params(t)
			params["username"] = acc.name
			wantEcho(t, "ssh", params)
		})
	}
	t.Run("nologin", func(t *testing.T) {
		t.Parallel()
		acc := newAccount(t, "/usr/sbin/nologin")
		params := s.params(t)
		params["username"] = acc.name
		err := wantError(t, "ssh", params, "This account is currently not available.")
		var eof *methods.EOFError
		if !errors.As(err, &eof) || eof.Status != "exit status 1" {
			t.Errorf("the error is %#v", err)
		}
	})
}

// The reason of a lost link is ssh's.
func TestRealSSHLost(t *testing.T) {
	withRealTool(t)
	s := newSSHD(t)
	conn := wantEcho(t, "ssh", s.params(t))
	sessions := mustRun(t, nil, "pgrep", "-P", strconv.Itoa(s.cmd.Process.Pid))
	mustRun(t, nil, slices.Concat([]string{"kill", "-9"}, strings.Fields(sessions))...)
	_, err := io.ReadAll(conn)
	var eof *methods.EOFError
	if !errors.As(err, &eof) || eof.Status != "exit status 255" || eof.Words == "" {
		t.Errorf("Read gave %#v", err)
	} else {
		t.Log(err)
	}
}
