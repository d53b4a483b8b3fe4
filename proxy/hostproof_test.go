package proxy

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

func signerOf(t testing.TB, key any, err error) gossh.Signer {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	s, err := gossh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// moreHostKeys gives a gateway two more of them.
func moreHostKeys(t *testing.T) func(*Config, *gateway) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	ec, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	more := []gossh.Signer{signerOf(t, rsaKey, err), signerOf(t, ec, err2)}
	return func(cfg *Config, _ *gateway) { cfg.HostKeys = append(cfg.HostKeys, more...) }
}

// A client that knows one key learns the others, having had them proven, and forgets one that has gone: whatever algorithm the key
// exchange was signed with.
func TestClientsLearnHostKeys(t *testing.T) {
	g := startGateway(t, moreHostKeys(t))
	for i, algorithm := range []string{"ssh-ed25519", "rsa-sha2-256", "rsa-sha2-512"} {
		known := g.write(fmt.Sprint("known", i), "")
		host := "[127.0.0.1]:" + g.port() + " "
		for _, k := range g.cfg.HostKeys[:2] {
			if (k.PublicKey().Type() == gossh.KeyAlgoRSA) == strings.HasPrefix(algorithm, "rsa") {
				g.write(filepath.Base(known), host+authorizedLine(k.PublicKey())+"\n"+host+authorizedLine(newSigner(t).PublicKey())+"\n")
			}
		}
		cmd := g.ssh("-o", "UserKnownHostsFile="+known, "-o", "HostKeyAlgorithms=^"+algorithm, "-o", "UpdateHostKeys=yes", "web1@gw", "cat")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if !eventually(func() bool {
			text, _ := os.ReadFile(known)
			return knowsExactly(string(text), host, g.cfg.HostKeys)
		}) {
			text, _ := os.ReadFile(known)
			t.Errorf("%s: the client knows\n%s", algorithm, text)
		}
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
}

// eventually waits for what another program does to a file.
func eventually(ok func() bool) bool {
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return true
		}
	}
	return false
}

func knowsExactly(text, host string, keys []gossh.Signer) bool {
	for _, k := range keys {
		if !strings.Contains(text, host+authorizedLine(k.PublicKey())) {
			return false
		}
	}
	return strings.Count(text, "\n") == len(keys)
}

// The gateway's key must not be written down under a target's name.
func TestVirtualHostsAnnounceNoKeys(t *testing.T) {
	g := startGateway(t, moreHostKeys(t))
	got := run(t, g.ssh("-o", "UpdateHostKeys=yes", "-J", "gw", "-o", "LogLevel=DEBUG3", "alice@web1", "true"))
	if got.status != 0 || strings.Contains(got.stderr, reqHostKeys) {
		t.Errorf("got %+v", got)
	}
	got = run(t, g.ssh("-o", "UpdateHostKeys=yes", "-o", "LogLevel=DEBUG3", "web1@gw", "true"))
	if got.status != 0 || !strings.Contains(got.stderr, reqHostKeys) {
		t.Errorf("on the connection itself: got %+v", got)
	}
	inner := &conn{srv: g.Server, host: g.backend.targets["web1"], sshConn: func() *gossh.ServerConn { return new(gossh.ServerConn) }}
	if _, err := inner.proveHostKeys(appendString(nil, g.hostKey.PublicKey().Marshal())); err == nil {
		t.Error("a virtual host proves the gateway's key")
	}
}

func TestHostKeyProofsAreOfTheKeysAskedFor(t *testing.T) {
	keys := []gossh.Signer{newSigner(t), newSigner(t)}
	id := []byte("session")
	first, second := keys[0].PublicKey().Marshal(), keys[1].PublicKey().Marshal()
	proofs, err := proveKeys(keys, appendString(appendString(nil, second), first), id, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, blob := range [][]byte{second, first} {
		var proof []byte
		proof, proofs, _ = cutString(proofs)
		sig := new(gossh.Signature)
		if err := gossh.Unmarshal(proof, sig); err != nil {
			t.Fatal(err)
		}
		data := bytes.Join([][]byte{appendString(nil, []byte(reqHostKeysProve)), appendString(nil, id), appendString(nil, blob)}, nil)
		if err := findKey(keys, blob).PublicKey().Verify(data, sig); err != nil {
			t.Error(err)
		}
	}
	if len(proofs) > 0 {
		t.Errorf("%d bytes too many", len(proofs))
	}
	for name, payload := range map[string][]byte{
		"nothing":  nil,
		"strange":  appendString(nil, newSigner(t).PublicKey().Marshal()),
		"cut":      appendString(nil, first)[:20],
		"repeated": appendString(appendString(appendString(nil, first), first), first),
	} {
		if _, err := proveKeys(keys, payload, id, ""); err == nil {
			t.Errorf("%s: proven", name)
		}
	}
}

func FuzzProveKeys(f *testing.F) {
	keys := []gossh.Signer{newSigner(f)}
	f.Add(appendString(nil, keys[0].PublicKey().Marshal()))
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		proofs, err := proveKeys(keys, payload, nil, "")
		if err == nil && len(proofs) == 0 {
			t.Error("proven nothing")
		}
	})
}
