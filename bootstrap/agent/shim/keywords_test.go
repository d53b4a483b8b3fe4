package shim

import (
	"bytes"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// OpenSSH's ssh and this one refuse the same settings in the same words. Other versions than 9.2 may know others.
func TestSettingsAsOpenSSHHasThem(t *testing.T) {
	needOpenSSH(t)
	for key, k := range keywords {
		switch key {
		case "ipqos", "rekeylimit", "tunneldevice", "streamlocalbindmask", "permitremoteopen", "canonicalizepermittedcnames", "setenv", "gssapikexalgorithms":
			continue // not checked here
		case "kexalgorithms", "dynamicforward", "localforward", "remoteforward":
			continue // in other words, or later
		}
		compare(t, key+"=yes")
		compare(t, key+"=")
		if k.words == "" && k.check == nil {
			continue
		}
		for _, value := range []string{"no", "zz", "-1", "10", "1m30s", "yes no"} {
			compare(t, key+"="+value)
		}
	}
	for _, setting := range []string{"Foo=bar", "UseDNS=no", "Ciphers=-x", "MACs=+hmac-md5", "HostKeyAlgorithms=ssh-*", "Compression"} {
		compare(t, setting)
	}
}

// -Q gives what OpenSSH's gives.
func TestQueriesAsOpenSSHHasThem(t *testing.T) {
	needOpenSSH(t)
	for query := range queries {
		want, err := exec.Command("ssh", "-Q", query).Output()
		got, _ := answer(query)
		if query != "help" && (err != nil || !slices.Equal(sortedLines(got), sortedLines(string(want)))) {
			t.Errorf("%s: %q, OpenSSH %q, %v", query, got, want, err)
		}
	}
	if _, ok := answer("foo"); ok {
		t.Error("foo is known")
	}
}

func sortedLines(text string) []string { return slices.Sorted(strings.Lines(text)) }

func needOpenSSH(t *testing.T) {
	t.Helper()
	version, err := exec.Command("ssh", "-V").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(version), "OpenSSH_9.2p1 Debian") {
		if os.Getenv("CI") != "" {
			t.Fatalf("no OpenSSH 9.2 of Debian 12: %s", version)
		}
		t.Skipf("no OpenSSH 9.2 of Debian 12: %s", version)
	}
}

// compare has both look at a setting.
func compare(t *testing.T, setting string) {
	t.Helper()
	cmd := exec.Command("ssh", "-F", "none", "-G", "-T", "-o", setting, "x")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	refused := cmd.Run() != nil
	_, err := parse([]string{"-G", "-T", "-o", setting, "x"})
	text := ""
	if err != nil {
		text = err.Error()
	}
	want := strings.TrimSpace(strings.ReplaceAll(stderr.String(), "\r", ""))
	if refused != (err != nil) || refused && want != text {
		t.Errorf("%s: %q, OpenSSH %q", setting, text, want)
	}
}
