package methods_test

import (
	"slices"
	"testing"

	"fakessh/methods"
	"fakessh/methods/methodtest"
)

var sshQuoted = []string{"sh", "-c", `'echo '\''a b'\''; $x'`}

func TestSSH(t *testing.T) {
	link := []string{"-a", "-x", "-T", "-o", "ClearAllForwardings yes", "-o", "RemoteCommand none", "-o", "PermitLocalCommand no", "-o", "ControlMaster no"}
	quiet := []string{"ssh", "-o", "LogLevel ERROR"}
	alive := []string{"-o", "ServerAliveInterval 15", "-o", "ServerAliveCountMax 3"}
	batch := []string{"-o", "BatchMode yes"}
	strict := []string{"-o", "StrictHostKeyChecking yes"}
	argv := func(parts ...[]string) []string { return slices.Concat(append(parts, sshQuoted)...) }
	words := func(w ...string) []string { return w }
	with := func(p methods.Params) methods.Params { p["hostname"] = "web1"; return p }

	methodtest.Run(t, methodtest.Case{
		Method:   "ssh",
		Params:   methods.Params{"hostname": "web1"},
		Tool:     "ssh_path",
		Handover: methodtest.ShellText,
		Prompt: &methodtest.Prompt{
			Param:   "password",
			Text:    "ta@web1's password: ",
			Before:  "Your password will expire in 3 days.\n",
			Again:   "Permission denied, please try again.\n",
			Wrong:   "SSH password is incorrect",
			Unasked: true,
		},
		Argv: []methodtest.Argv{
			{Name: "plain", Params: with(methods.Params{}), Want: argv(quiet, alive, batch, strict, link, words("web1"))},
			{Name: "account and port", Params: with(methods.Params{"username": "bob", "port": 22}),
				Want: argv(quiet, words("-l", "bob", "-p", "22"), alive, batch, strict, link, words("web1"))},
			{Name: "key", Params: with(methods.Params{"identity_file": "/k"}),
				Want: argv(quiet, words("-o", "IdentitiesOnly yes", "-i", "/k"), alive, batch, strict, link, words("web1"))},
			{Name: "key among others", Params: with(methods.Params{"identity_file": "/k", "identities_only": false}),
				Want: argv(quiet, words("-i", "/k"), alive, batch, strict, link, words("web1"))},
			{Name: "password", Params: with(methods.Params{"password": "hush"}),
				Want: argv(quiet, words("-o", "IdentitiesOnly yes"), alive, strict, link, words("web1"))},
			{Name: "accept", Params: with(methods.Params{"check_host_keys": "accept"}),
				Want: argv(quiet, alive, words("-o", "StrictHostKeyChecking ask"), link, words("web1"))},
			{Name: "ignore", Params: with(methods.Params{"check_host_keys": "ignore"}),
				Want: argv(quiet, alive, batch, words("-o", "StrictHostKeyChecking no", "-o", "UserKnownHostsFile /dev/null", "-o", "GlobalKnownHostsFile /dev/null"), link, words("web1"))},
			{Name: "known hosts", Params: with(methods.Params{"known_hosts_files": []string{"~/.ssh/known_hosts", "/var/lib/a b"}}),
				Want: argv(quiet, alive, batch, strict, words("-o", `UserKnownHostsFile ~/.ssh/known_hosts "/var/lib/a b"`), link, words("web1"))},
			{Name: "the rest", Params: with(methods.Params{"compression": true, "keepalive_count": 4, "keepalive_interval": 30, "ssh_debug_level": 2,
				"ssh_config": "none", "ciphers": []string{"aes256-ctr", "aes128-ctr"}, "ssh_args": []string{"-o", "ProxyJump x"}, "ssh_path": "/opt/ssh"}),
				Want: argv(words("/opt/ssh", "-vv", "-F", "none", "-o", "Compression yes", "-o", "ServerAliveInterval 30", "-o", "ServerAliveCountMax 4"),
					batch, strict, link, words("-o", "Ciphers aes256-ctr,aes128-ctr", "-o", "ProxyJump x", "web1"))},
			{Name: "no keepalive", Params: with(methods.Params{"keepalive_enabled": false}), Want: argv(quiet, batch, strict, link, words("web1"))},
			{Name: "no host", Err: "ssh: hostname is required"},
			{Name: "a host with a dash", Params: methods.Params{"hostname": "-oProxyCommand=x"}, Err: `ssh: hostname: begins with a dash: "-oProxyCommand=x"`},
			{Name: "an account with a dash", Params: with(methods.Params{"username": "-x"}), Err: `ssh: username: begins with a dash: "-x"`},
			{Name: "bad mode", Params: with(methods.Params{"check_host_keys": "maybe"}), Err: "ssh: check_host_keys: must be set to accept, enforce or ignore"},
			{Name: "bad port", Params: with(methods.Params{"port": 70000}), Err: "ssh: port: want 1 to 65535"},
			{Name: "port as text", Params: with(methods.Params{"port": "22"}), Err: "ssh: port: want a whole number"},
		},
	})
}

func TestSSHNames(t *testing.T) {
	m, _ := methods.Lookup("ssh")
	for port, want := range map[any]string{nil: "ssh.web1", 22: "ssh.web1", 2222: "ssh.web1:2222"} {
		if got := m.ContextName(methods.Params{"hostname": "web1", "port": port}); got != want {
			t.Errorf("port %v: %q", port, got)
		}
	}
}
