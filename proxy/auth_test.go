package proxy

import (
	"bytes"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

func TestNewRefusesToServeAnybody(t *testing.T) {
	whole := Config{HostKeys: []gossh.Signer{newSigner(t)}, Auth: &fakeAuth{}, Decider: &fakePolicy{}, Backend: &fakeBackend{}}
	if _, err := New(whole); err != nil {
		t.Fatal(err)
	}
	for name, without := range map[string]func(*Config){
		"host key":      func(c *Config) { c.HostKeys = nil },
		"authenticator": func(c *Config) { c.Auth = nil },
		"decider":       func(c *Config) { c.Decider = nil },
		"backend":       func(c *Config) { c.Backend = nil },
	} {
		cfg := whole
		without(&cfg)
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

// All refusals look the same to the client.
func TestWhoMayLogIn(t *testing.T) {
	g := startGateway(t, func(_ *Config, g *gateway) {
		shared := g.writeKey("shared")
		g.auth.keys[string(shared.PublicKey().Marshal())] = []string{"bob", "carol"}
	})
	g.writeKey("stranger")
	tests := []struct {
		key, user string
		ok        bool
	}{
		{"id", "web1", true},
		{"id", "alice=web1", true},
		{"id", "bob=web1", false},
		{"id", "nobody=web1", false},
		{"id", "@web1", false},
		{"stranger", "web1", false},
		{"stranger", "alice=web1", false},
		{"shared", "web1", false},
		{"shared", "bob=web1", true},
		{"shared", "carol=deploy@web1", true},
		{"shared", "alice=web1", false},
	}
	for _, tt := range tests {
		// IdentityFile accumulates, so the key is given in place of the configured one.
		got := run(t, tool(t, "ssh", "-F", "none", "-i", filepath.Join(g.dir, tt.key), "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none",
			"-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "-o", "UserKnownHostsFile="+filepath.Join(g.dir, "known_hosts"),
			"-p", g.port(), "-l", tt.user, "127.0.0.1", "true"))
		if (got.status == 0) != tt.ok {
			t.Errorf("%s as %q: %+v", tt.key, tt.user, got)
		}
		if want := tt.user + "@127.0.0.1: Permission denied (publickey).\r\n"; !tt.ok && (got.status != 255 || got.stderr != want) {
			t.Errorf("%s as %q: got %q, want %q", tt.key, tt.user, got.stderr, want)
		}
	}
}

func TestPrincipalByTheUserName(t *testing.T) {
	key := newSigner(t)
	auth := &fakeAuth{keys: map[string][]string{string(key.PublicKey().Marshal()): {"alice", "carol"}}}
	addr := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}
	id, err := identify(auth, "carol", key.PublicKey(), addr) // ssh -J carol@gw
	if err != nil || id.subject.Principal != "carol" {
		t.Errorf("got %+v, %v", id, err)
	}
	if _, err := identify(auth, "web1", key.PublicKey(), addr); !errors.Is(err, errAmbiguousKey) {
		t.Errorf("got %v", err)
	}
}

// A client that is asked for a signature and gives none, or somebody else's, is nobody: an offered key proves nothing.
func TestOfferedKeyIsNoProof(t *testing.T) {
	g := startGateway(t)
	stranger := newSigner(t)
	_, err := gossh.Dial("tcp", g.addr, &gossh.ClientConfig{
		User: "web1", HostKeyCallback: gossh.InsecureIgnoreHostKey(),
		Auth: []gossh.AuthMethod{gossh.PublicKeys(impostor{g.key.PublicKey(), stranger})},
	})
	if err == nil {
		t.Fatal("logged in with the signature of another key")
	}
	if n := len(g.audit.find(EventLogin)); n != 0 {
		t.Errorf("%d logins", n)
	}
}

// impostor offers one key and signs with another.
type impostor struct {
	public gossh.PublicKey
	signer gossh.Signer
}

func (i impostor) PublicKey() gossh.PublicKey { return i.public }
func (i impostor) Sign(r io.Reader, data []byte) (*gossh.Signature, error) {
	return i.signer.Sign(r, data)
}

func TestRefusedLoginIsAudited(t *testing.T) {
	g := startGateway(t, func(_ *Config, g *gateway) { g.auth.keys = nil })
	first, second := g.key.PublicKey(), g.writeKey("second").PublicKey()
	run(t, g.ssh("-i", filepath.Join(g.dir, "second"), "root@web1@gw", "true"))
	ev := g.audit.await(t, EventLoginFailed)
	if len(ev) != 1 || ev[0].User != "root@web1" || ev[0].Subject.Principal != "" {
		t.Fatalf("got %+v", ev)
	}
	for _, key := range []gossh.PublicKey{first, second} {
		if want := gossh.FingerprintSHA256(key) + ": nobody's key"; !strings.Contains(ev[0].Reason, want) {
			t.Errorf("reason %q lacks %q", ev[0].Reason, want)
		}
	}
	if id := ev[0].Subject.KeyID; id != gossh.FingerprintSHA256(first) && id != gossh.FingerprintSHA256(second) {
		t.Errorf("key %q", id)
	}
}

func TestHandshakeHasToEnd(t *testing.T) {
	const grace = 500 * time.Millisecond
	g := startGateway(t, func(cfg *Config, _ *gateway) { cfg.LoginGrace = grace })
	in := g.client("web1")
	begun := time.Now()
	var wg sync.WaitGroup
	for _, first := range []string{"", "SSH-2.0-slow\r\n", string(hello("", "")[:60])} {
		nc, err := net.Dial("tcp", g.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		io.WriteString(nc, first)
		nc.SetDeadline(time.Now().Add(20 * time.Second))
		wg.Go(func() {
			if _, err := io.Copy(io.Discard, nc); err != nil && !strings.Contains(err.Error(), "reset") {
				t.Errorf("after %q: %v", first, err)
			}
		})
	}
	wg.Wait()
	if waited := time.Since(begun); waited < grace {
		t.Errorf("ended after %v", waited)
	}
	// The deadline is the handshake's alone, and has passed.
	if _, _, err := in.SendRequest(reqKeepAlive, true, nil); err != nil {
		t.Error(err)
	}
}

func TestHandshakesAtOnceAreBounded(t *testing.T) {
	g := startGateway(t, func(cfg *Config, _ *gateway) { cfg.MaxStartups = 2 })
	var open []net.Conn
	for range 3 {
		nc, err := net.Dial("tcp", g.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		open = append(open, nc)
		if len(open) <= 2 { // wait until it is counted
			if _, err := io.ReadFull(nc, make([]byte, 4)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n, err := open[2].Read(make([]byte, 100)); n != 0 || err == nil {
		t.Errorf("third connection: %d bytes, %v", n, err)
	}
	open[0].Close()
	open[1].Close()
	if err := g.startups.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.client("web1")
}

func TestSilentClientIsAskedAndLetGo(t *testing.T) {
	g := startGateway(t, func(cfg *Config, _ *gateway) { cfg.KeepAlive, cfg.KeepAlives = 20*time.Millisecond, 50 })
	asked := make(chan string, 10)
	nc, err := net.Dial("tcp", g.addr)
	if err != nil {
		t.Fatal(err)
	}
	gate := &gatedConn{Conn: nc}
	_, _, reqs, err := gossh.NewClientConn(gate, g.addr, &gossh.ClientConfig{
		User: "web1", Auth: []gossh.AuthMethod{gossh.PublicKeys(g.key)}, HostKeyCallback: gossh.InsecureIgnoreHostKey(),
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for req := range reqs {
			select {
			case asked <- req.Type:
			default:
			}
			req.Reply(false, nil) // OpenSSH does so
		}
		close(asked)
	}()
	for range 5 {
		if req := <-asked; req != reqKeepAlive {
			t.Errorf("asked %q", req)
		}
	}
	gate.dead.Store(true) // nothing of ours arrives any more
	for range asked {
	}
}

func TestHostKeysAreMadeOnceAndKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	first, err := LoadHostKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	second, err := LoadHostKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Key.PublicKey().Marshal(), second.Key.PublicKey().Marshal()) || !bytes.Equal(first.CA.PublicKey().Marshal(), second.CA.PublicKey().Marshal()) {
		t.Error("the keys have changed")
	}
	if bytes.Equal(first.Key.PublicKey().Marshal(), first.CA.PublicKey().Marshal()) {
		t.Error("host key and CA are one")
	}
}
