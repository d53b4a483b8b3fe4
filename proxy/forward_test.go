package proxy

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	gossh "golang.org/x/crypto/ssh"

	"fakessh/authz"
	"fakessh/router"
)

// gatedConn is a connection whose writes can be made to vanish.
type gatedConn struct {
	net.Conn
	dead atomic.Bool
}

func (c *gatedConn) Write(p []byte) (int, error) {
	if c.dead.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// serve answers every connection to a new listener with handle.
func serve(t *testing.T, network, address string, handle func(halfConn)) net.Listener {
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer nc.Close()
				handle(nc.(halfConn))
			}()
		}
	}()
	return l
}

// digest reads until EOF, then answers: only half-close makes that possible.
func digest(nc halfConn) {
	h := sha256.New()
	io.Copy(h, nc)
	fmt.Fprintf(nc, "%x\n", h.Sum(nil))
}

func portOf(l net.Listener) string { return strconv.Itoa(l.Addr().(*net.TCPAddr).Port) }

func TestForwardsHalfClose(t *testing.T) {
	g := startGateway(t)
	l := serve(t, "tcp", "127.0.0.1:0", digest)
	data := make([]byte, 5<<20)
	rand.Read(data)
	want := fmt.Sprintf("%x\n", sha256.Sum256(data))
	for _, args := range [][]string{
		{"-W", "127.0.0.1:" + portOf(l), "web1@gw"},
		{"-o", "ProxyCommand=none", "-W", "web1:" + portOf(l), "gw"}, // a target's name, not port 22: inside it
		{"-J", "gw", "-W", "127.0.0.1:" + portOf(l), "alice@web1"},
	} {
		cmd := g.ssh(args...)
		cmd.Stdin = bytes.NewReader(data)
		if got := run(t, cmd); got != (result{want, "", 0}) {
			t.Errorf("ssh %q: got %+v", args, got)
		}
	}
	for _, r := range g.policy.asked {
		if r.Action == authz.ForwardLocal && (r.DestHost != "127.0.0.1" || strconv.Itoa(r.DestPort) != portOf(l) || r.Account != "deploy") {
			t.Errorf("asked %+v", r)
		}
	}
}

func TestUnixForward(t *testing.T) {
	g := startGateway(t)
	path := filepath.Join(g.dir, "socket")
	serve(t, "unix", path, digest)
	nc, err := g.client("web1").Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(nc, "text")
	nc.(interface{ CloseWrite() error }).CloseWrite()
	got, err := io.ReadAll(nc)
	if want := fmt.Sprintf("%x\n", sha256.Sum256([]byte("text"))); err != nil || string(got) != want {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestRefusedForwardSaysWhy(t *testing.T) {
	g := startGateway(t)
	c := g.client("web1")
	_, err := c.Dial("tcp", "127.0.0.1:1")
	if want := "ssh: rejected: connect failed (\"dial 127.0.0.1:1 in web1: connection refused\")"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, _, err := c.OpenChannel("x11", nil); err == nil || !strings.Contains(err.Error(), "unknown channel type") {
		t.Errorf("x11: %v", err)
	}
	if _, _, err := c.OpenChannel(chanDirectTCPIP, []byte("garbage")); err == nil || !strings.Contains(err.Error(), "malformed direct-tcpip") {
		t.Errorf("garbage: %v", err)
	}
}

// An agent says what sshd would; the client says it too.
func TestConnectFailedIsSaidOnce(t *testing.T) {
	g := startGateway(t, func(_ *Config, g *gateway) {
		g.backend.dial = func() error { return &router.CallError{Type: "OSError", Text: "connect failed: Connection refused"} }
	})
	got := run(t, g.ssh("-o", "LogLevel=INFO", "-W", "127.0.0.1:9", "web1@gw"))
	if !strings.Contains(got.stderr, ": open failed: connect failed: Connection refused\r\n") {
		t.Errorf("got %q", got.stderr)
	}
}

func TestJump(t *testing.T) {
	real := serve(t, "tcp", "127.0.0.1:0", func(nc halfConn) { io.WriteString(nc, "SSH-2.0-real\r\n") })
	g := startGateway(t, func(_ *Config, g *gateway) {
		g.backend.targets["pass"] = &Target{Name: "pass", Jump: JumpPassthrough}
		g.backend.hosts["pass"] = real.Addr().String()
		g.backend.targets["shut"] = &Target{Name: "shut", Jump: JumpDeny}
		g.backend.exits["127.0.0.1"] = g.backend.targets["web1"]
	})
	tests := []struct {
		dest, out, refusal string
	}{
		{"pass:22", "SSH-2.0-real\r\n", ""},
		{"127.0.0.1:" + portOf(real), "SSH-2.0-real\r\n", ""},
		{"shut:22", "", "administratively prohibited: no jump to shut"},
		{"elsewhere.example.com:22", "", `administratively prohibited: no target or exit for "elsewhere.example.com"`},
		{"web1+no.such:22", "", `connect failed: no target "web1+no.such"`},
	}
	for _, tt := range tests {
		got := run(t, g.ssh("-o", "LogLevel=INFO", "-W", tt.dest, "gw"))
		if got.stdout != tt.out || !strings.Contains(got.stderr, tt.refusal) || (got.status == 0) != (tt.refusal == "") {
			t.Errorf("%s: got %+v", tt.dest, got)
		}
	}
	var modes []string
	for _, ev := range g.audit.find(EventForwardStart) {
		modes = append(modes, ev.Mode+" "+ev.Dest)
	}
	if got, want := strings.Join(modes, ", "), "passthrough pass:22, exit "+real.Addr().String(); got != want {
		t.Errorf("audited modes %q, want %q", got, want)
	}
	if ev := g.audit.find(EventRefused); len(ev) == 0 || ev[0].Mode != "deny" || ev[0].Target != "shut" || ev[0].Dest != "shut:22" {
		t.Errorf("audited refusals %+v", ev)
	}
	run(t, g.ssh("-J", "gw", "alice@web1", "true"))
	modes = nil
	for _, r := range g.policy.asked {
		if r.Action == authz.Jump {
			modes = append(modes, r.Mode)
		}
	}
	if got := strings.Join(modes, " "); got != "passthrough exit terminate" {
		t.Errorf("decided modes %q", got)
	}
}

// A target's name on port 22 is its virtual host even where the local login name, which -J sends, is a target's too.
func TestJumpWithATargetsNameAsTheOuterUser(t *testing.T) {
	g := startGateway(t)
	for _, outer := range []string{"local", "deploy@local", "web1", "nosuch", "nobody@nosuch"} {
		if got := run(t, g.ssh("-J", outer+"@gw", "alice@web1", "echo in")); got != (result{"in\n", "", 0}) {
			t.Errorf("%s: got %+v", outer, got)
		}
	}
	if got := run(t, g.ssh("-J", "local@gw,alice@web1", "alice@web1", "true")); got.status == 0 {
		t.Error("web1 as seen from inside web1 is the gateway's")
	}
}

// A target that does not exist is said not to; what was meant to be inside it is not dialled from somewhere else.
func TestMistypedTargetIsNoJump(t *testing.T) {
	l := serve(t, "tcp", "127.0.0.1:0", func(nc halfConn) { io.WriteString(nc, "banner") })
	g := startGateway(t, func(_ *Config, g *gateway) { g.backend.exits["127.0.0.1"] = g.backend.targets["web1"] })
	for user, name := range map[string]string{
		"web1-typo": "web1-typo", "web1-typo+docker.app": "web1-typo+docker.app", "deploy@web1-typo": "web1-typo", "alice=web1-typo": "web1-typo",
	} {
		_, err := dialFrom(g.client(user), l.Addr().String(), 40000)
		if want := fmt.Sprintf("ssh: rejected: connect failed (\"no target \\\"%s\\\"\")", name); err == nil || err.Error() != want {
			t.Errorf("-L %s: got %v, want %s", user, err, want)
		}
	}
	for _, user := range []string{"deploy@web1-typo", "web1-typo+docker.app"} {
		got := run(t, g.ssh("-o", "LogLevel=INFO", "-W", l.Addr().String(), user+"@gw"))
		if got.status == 0 || !strings.Contains(got.stderr, "connect failed: no target \"web1-typo") {
			t.Errorf("-W %s: got %+v", user, got)
		}
	}
	for user, port := range map[string]uint32{"alice": 40000, "al": 40000, "anybody": 65535, "carl": 0} { // -L of the principal, -J of whomever
		ch, err := dialFrom(g.client(user), l.Addr().String(), port)
		if err != nil {
			t.Errorf("%s: %v", user, err)
			continue
		}
		if got, _ := io.ReadAll(ch); string(got) != "banner" {
			t.Errorf("%s: got %q", user, got)
		}
	}
}

// dialFrom opens a direct-tcpip that says where it comes from.
func dialFrom(c *gossh.Client, addr string, port uint32) (gossh.Channel, error) {
	host, p, _ := net.SplitHostPort(addr)
	n, _ := strconv.Atoi(p)
	ch, reqs, err := c.OpenChannel(chanDirectTCPIP, gossh.Marshal(directTCPIP{host, uint32(n), "127.0.0.1", port}))
	if err == nil {
		go gossh.DiscardRequests(reqs)
	}
	return ch, err
}

// With the CA's line no question is asked, and the virtual host's key is nothing that the client has to remember.
func TestVirtualHostIsKnownByItsCertificate(t *testing.T) {
	g := startGateway(t)
	before, _ := os.ReadFile(filepath.Join(g.dir, "known_hosts"))
	if got := run(t, g.ssh("-J", "gw", "alice@web1", "true")); got.status != 0 || got.stderr != "" {
		t.Errorf("got %+v", got)
	}
	if after, _ := os.ReadFile(filepath.Join(g.dir, "known_hosts")); !bytes.Equal(before, after) {
		t.Errorf("known_hosts has changed:\n%s", after)
	}
	// Without the line it is a host like any other, with the gateway's plain key.
	known := g.write("known_plain", "web1 "+authorizedLine(g.hostKey.PublicKey())+"\n")
	plain := g.ssh("-o", "UserKnownHostsFile="+known+" "+filepath.Join(g.dir, "known_hosts_gw"), "-J", "gw", "alice@web1", "true")
	g.write("known_hosts_gw", fmt.Sprintf("[127.0.0.1]:%s %s\n", g.port(), authorizedLine(g.hostKey.PublicKey())))
	if got := run(t, plain); got.status != 0 {
		t.Errorf("plain key: %+v", got)
	}
	// One name's certificate is no other's: the CA line of web1 does not vouch for a name it does not have.
	g.write("known_hosts", fmt.Sprintf("[127.0.0.1]:%s %s\n@cert-authority other %s\n", g.port(), authorizedLine(g.hostKey.PublicKey()), authorizedLine(g.ca.PublicKey())))
	if got := run(t, g.ssh("-J", "gw", "alice@web1", "true")); got.status != 255 || !strings.Contains(got.stderr, "Host key verification failed") {
		t.Errorf("unknown host: %+v", got)
	}
}

// The inner handshake may bring a key: it has to be one of the same principal.
func TestInnerKey(t *testing.T) {
	other := newSigner(t)
	g := startGateway(t, func(_ *Config, g *gateway) {
		g.auth.keys[string(other.PublicKey().Marshal())] = []string{"bob"}
	})
	outer := &conn{srv: g.Server}
	outer.ident.Store(&identity{subject: authz.Subject{Principal: "alice"}})
	_, server := tcpPair(t)
	inner := &conn{srv: g.Server, transport: newTransport(server, defaultLoginGrace)}
	for _, tt := range []struct {
		key gossh.Signer
		ok  bool
	}{{g.key, true}, {other, false}, {newSigner(t), false}} {
		if err := inner.samePrincipal(outer, tt.key.PublicKey()); (err == nil) != tt.ok {
			t.Errorf("got %v, want %v", err, tt.ok)
		}
	}
}

func TestJumpAsksPolicy(t *testing.T) {
	g := startGateway(t, func(_ *Config, g *gateway) {
		g.policy.never = func(r authz.Request) bool { return r.Action == authz.Jump && r.Target == "web1" && r.Account == "" }
		g.policy.deny = func(r authz.Request) bool {
			return r.Action == authz.Hop || r.Action == authz.Jump && r.Account != "me"
		}
		g.backend.targets["web1+docker.x"] = &Target{Name: "web1+docker.x", Hops: []string{"docker"}}
		g.backend.targets["local"].Account = "own"
	})
	got := run(t, g.ssh("-o", "LogLevel=INFO", "-W", "web1:22", "gw"))
	if got.status != 255 || !strings.Contains(got.stderr, "administratively prohibited: you may not do that here") {
		t.Errorf("-J: got %+v", got)
	}
	if got := run(t, g.ssh("web1+docker.x@gw", "true")); got != (result{"", "fakesshd: you may not do that here\n", 255}) {
		t.Errorf("hop: got %+v", got)
	}
	// Which account is wanted is known when the inner connection says so.
	for inner, want := range map[string]result{
		"me@local":    {"in\n", "", 0},
		"root@local":  {"", "fakesshd: you may not do that here\n", 255},
		"alice@local": {"", "fakesshd: you may not do that here\n", 255}, // herself: the target's own
	} {
		if got := run(t, g.ssh("-J", "gw", inner, "echo in")); got != want {
			t.Errorf("%s: got %+v", inner, got)
		}
	}
	if got := run(t, g.ssh("-o", "LogLevel=INFO", "-J", "gw", "-W", "127.0.0.1:1", "root@local")); !strings.Contains(got.stderr, "administratively prohibited: you may not do that here") {
		t.Errorf("-W inside: got %+v", got)
	}
	var accounts []string
	for _, r := range g.policy.asked {
		if r.Action == authz.Jump && !slices.Contains(accounts, r.Account) {
			accounts = append(accounts, r.Account)
		}
	}
	slices.Sort(accounts)
	if got := strings.Join(accounts, " "); got != "me own root" {
		t.Errorf("asked about %q", got)
	}
}
