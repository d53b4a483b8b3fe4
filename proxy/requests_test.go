package proxy

import (
	"strings"
	"testing"

	gossh "golang.org/x/crypto/ssh"

	"fakessh/bootstrap/agent/session"
)

func TestParsePTY(t *testing.T) {
	payload := gossh.Marshal(struct {
		Term                         string
		Columns, Rows, Width, Height uint32
		Modes                        []byte
	}{"xterm-256color", 80, 24, 640, 1 << 20, []byte{3, 0, 0, 0, 127, 0}})
	p, err := parsePTY(payload)
	if err != nil {
		t.Fatal(err)
	}
	want := session.PTY{Term: "xterm-256color", Size: session.Size{Columns: 80, Rows: 24, Width: 640, Height: maxSize}}
	if p.Term != want.Term || p.Size != want.Size || string(p.Modes) != "\x03\x00\x00\x00\x7f\x00" {
		t.Errorf("got %+v", p)
	}
	for i := range payload {
		if _, err := parsePTY(payload[:i]); err == nil {
			t.Errorf("%d bytes of a pty request are accepted", i)
		}
	}
	if _, err := parsePTY(append(payload, 0)); err == nil {
		t.Error("trailing bytes are accepted")
	}
}

func TestParseDirectTCPIP(t *testing.T) {
	for _, m := range []directTCPIP{{Host: "", Port: 22}, {Host: "h", Port: 0}, {Host: "h", Port: 65536}, {Host: "a b", Port: 1}, {Host: "a\x1b[2J", Port: 1}} {
		if _, err := parseDirectTCPIP(gossh.Marshal(m)); err == nil {
			t.Errorf("%+v is accepted", m)
		}
	}
}

func TestParseForward(t *testing.T) {
	type tcp struct {
		Host string
		Port uint32
	}
	for _, m := range []tcp{{"", 65536}, {"a b", 1}, {"\x1b[2J", 1}, {strings.Repeat("x", maxHost+1), 1}} {
		if _, err := parseForward(reqForwardTCPIP, gossh.Marshal(m)); err == nil {
			t.Errorf("%+v is accepted", m)
		}
	}
	if _, err := parseForward(reqCancelForwardTCPIP, gossh.Marshal(tcp{"", 0})); err == nil {
		t.Error("the end of no port in particular is accepted")
	}
	for _, path := range []string{"", "a\x00b", strings.Repeat("x", maxPath+1)} {
		if _, err := parseForward(reqForwardUnix, gossh.Marshal(struct{ P string }{path})); err == nil {
			t.Errorf("%.20q is accepted", path)
		}
	}
	for host, want := range map[string]string{
		"": "localhost:80", "*": "localhost:80", "localhost": "localhost:80", "0.0.0.0": "localhost:80", "::": "localhost:80", "192.0.2.1": "localhost:80",
		"127.0.0.1": "127.0.0.1:80", "::1": "[::1]:80",
	} {
		a, err := parseForward(reqForwardTCPIP, gossh.Marshal(tcp{host, 80}))
		if err != nil || a.address() != want || a.name != host {
			t.Errorf("%q: %+v at %s, %v", host, a, a.address(), err)
		}
	}
}

func FuzzPayloads(f *testing.F) {
	f.Add([]byte{})
	f.Add(gossh.Marshal(struct{ A string }{"ls -l"}))
	f.Add(gossh.Marshal(struct{ A string }{"KILL"}))
	f.Add(gossh.Marshal(struct{ A, B string }{"LANG", "C"}))
	f.Add(gossh.Marshal(struct{ A, B, C, D uint32 }{80, 24, 0, 0}))
	f.Add(gossh.Marshal(directTCPIP{"127.0.0.1", 80, "::1", 4711}))
	f.Add(gossh.Marshal(struct {
		A, B string
		C    uint32
	}{"/run/x", "", 0}))
	f.Add(gossh.Marshal(struct{ A string }{"/run/user/1000/socket"}))
	f.Add(gossh.Marshal(struct {
		A string
		B uint32
	}{"localhost", 0}))
	f.Add(gossh.Marshal(struct {
		A string
		B uint32
	}{"*", 8080}))
	f.Add(gossh.Marshal(struct {
		A          string
		B, C, D, E uint32
		F          string
	}{"xterm", 80, 24, 0, 0, "\x00"}))
	f.Fuzz(func(t *testing.T, payload []byte) {
		if p, err := parsePTY(payload); err == nil && (p.Size != clampSize(p.Size) || !printable(p.Term)) {
			t.Errorf("pty %+v", p)
		}
		if s, err := parseWindowChange(payload); err == nil && s != clampSize(s) {
			t.Errorf("size %+v", s)
		}
		if name, err := parseSignal(payload); err == nil && !signals[name] {
			t.Errorf("signal %q", name)
		}
		if s, err := parseText(reqExec, payload); err == nil && strings.ContainsRune(s, 0) {
			t.Errorf("command %q", s)
		}
		if d, err := parseDirectTCPIP(payload); err == nil && (d.Port == 0 || d.Host == "" || !printable(d.Host)) {
			t.Errorf("address %+v", d)
		}
		if p, err := parseDirectUnix(payload); err == nil && (p == "" || strings.ContainsRune(p, 0)) {
			t.Errorf("path %q", p)
		}
		for _, request := range []string{reqForwardTCPIP, reqCancelForwardTCPIP, reqForwardUnix, reqCancelForwardUnix} {
			a, err := parseForward(request, payload)
			if err != nil {
				continue
			}
			local := a.bound() == "localhost" || a.bound() == "127.0.0.1" || a.bound() == "::1"
			if a.port > 65535 || strings.ContainsRune(a.name, 0) || (a.network == "tcp") != local && a.network != "unix" {
				t.Errorf("%s: %+v", request, a)
			}
		}
		parseEnv(payload)
		parseBreak(payload)
	})
}
