package methods

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestLockedKeys(t *testing.T) {
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir := t.TempDir()
	for _, format := range []string{"RFC4716", "PKCS8", "PEM"} {
		for _, passphrase := range []string{"", "secret"} {
			name := filepath.Join(dir, format+passphrase)
			out, err := exec.Command("ssh-keygen", "-q", "-t", "ecdsa", "-m", format, "-N", passphrase, "-f", name).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			want := ""
			if passphrase != "" {
				want = ", and key " + name + " has a passphrase"
			}
			if got := lockedKey(values{"identity_file": name}); got != want {
				t.Errorf("%s with passphrase %q: %q", format, passphrase, got)
			}
		}
	}
	for _, v := range []values{{}, {"identity_file": filepath.Join(dir, "none")}, {"identity_file": dir}, {"identity_file": "/dev/null"}} {
		if got := lockedKey(v); got != "" {
			t.Errorf("%v: %q", v, got)
		}
	}
}

func FuzzIsLocked(f *testing.F) {
	f.Add([]byte("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU=\n-----END OPENSSH PRIVATE KEY-----\n"))
	f.Add([]byte("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHI=\n-----END"))
	f.Add([]byte("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if isLocked(text) && !strings.Contains(string(text), "-----BEGIN ") && !strings.Contains(string(text), "Proc-Type") {
			t.Errorf("%q is a locked key", text)
		}
	})
}
