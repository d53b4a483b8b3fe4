package proxy

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

func TestHostKeysThatOthersCanReadAreRefused(t *testing.T) {
	dir := t.TempDir()
	if _, err := LoadHostKeys(dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, hostKeyFile)
	os.Chmod(path, 0o644)
	if _, err := LoadHostKeys(dir); err == nil || !strings.Contains(err.Error(), "0644") {
		t.Errorf("readable key: %v", err)
	}
	os.Chmod(path, 0o600)
	os.Chmod(dir, 0o777)
	if _, err := LoadHostKeys(dir); err == nil || !strings.Contains(err.Error(), "0777") {
		t.Errorf("writable directory: %v", err)
	}
	os.Chmod(dir, 0o700)
	os.WriteFile(path, []byte("not a key"), 0o600)
	if _, err := LoadHostKeys(dir); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("garbage: %v", err)
	}
	os.WriteFile(path, nil, 0o600)
	if _, err := LoadHostKeys(dir); err == nil {
		t.Error("an empty file is a key")
	}
}

func TestHostKeysMadeByManyAtOnceAreOne(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	prints := make([]string, 8)
	for i := range prints {
		wg.Go(func() {
			keys, err := LoadHostKeys(dir)
			if err != nil {
				t.Error(err)
				return
			}
			prints[i] = gossh.FingerprintSHA256(keys.Key.PublicKey())
		})
	}
	wg.Wait()
	for _, p := range prints {
		if p != prints[0] {
			t.Errorf("keys %q", prints)
			break
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".new-key-*")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestKnownHosts(t *testing.T) {
	ca := newSigner(t).PublicKey()
	line := " " + authorizedLine(ca) + " fakesshd\n"
	want := "@cert-authority local" + line + "@cert-authority web-1.example" + line + "@cert-authority *+*" + line
	if got := KnownHosts([]string{"local", "*", "web-1.example", "a,b", "a b", "!x", "-x", "", "X\n* ssh-rsa"}, ca); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestHostCertificates(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	certs := &hostCerts{key: newSigner(t), ca: newSigner(t), now: func() time.Time { return now }}
	get := func(name string) *gossh.Certificate {
		s, err := certs.signer(name)
		if err != nil {
			t.Fatal(err)
		}
		return s.PublicKey().(*gossh.Certificate)
	}
	first := get("Web1")
	if len(first.ValidPrincipals) != 1 || first.ValidPrincipals[0] != "web1" || first.CertType != gossh.HostCert {
		t.Errorf("got %+v", first)
	}
	checker := gossh.CertChecker{Clock: func() time.Time { return now }}
	for at, want := range map[time.Duration]bool{0: true, 24*time.Hour - time.Second: true, 24*time.Hour + time.Second: false, -time.Hour: false} {
		checker.Clock = func() time.Time { return now.Add(at) }
		if err := checker.CheckCert("web1", first); (err == nil) != want {
			t.Errorf("at %v: %v", at, err)
		}
	}
	if get("web1") != first {
		t.Error("not kept")
	}
	now = now.Add(certLife/2 + time.Second)
	if get("web1") == first {
		t.Error("not renewed")
	}
	for i := range maxCerts { // as if they had been asked for
		certs.certs[time.Duration(i).String()] = hostCert{}
	}
	get("one-more")
	if len(certs.certs) > maxCerts {
		t.Errorf("%d certificates are kept", len(certs.certs))
	}
}
