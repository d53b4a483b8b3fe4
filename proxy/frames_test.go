package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"

	gossh "golang.org/x/crypto/ssh"

	"fakessh/authz"
	"fakessh/bootstrap/agent/session"
)

// recorder is a channel that remembers what is sent on it, in order.
type recorder struct {
	gossh.NewChannel
	gossh.Channel

	mu     sync.Mutex
	frames []string
}

func (r *recorder) Accept() (gossh.Channel, <-chan *gossh.Request, error) {
	ch, reqs, err := r.NewChannel.Accept()
	r.Channel = ch
	return r, reqs, err
}

func (r *recorder) note(frame string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.frames = append(r.frames, frame)
}

func (r *recorder) Write(p []byte) (int, error) {
	r.note(fmt.Sprintf("out %q", p))
	return r.Channel.Write(p)
}

func (r *recorder) Stderr() io.ReadWriter { return recorderStderr{r.Channel.Stderr(), r} }

type recorderStderr struct {
	io.ReadWriter
	r *recorder
}

func (s recorderStderr) Write(p []byte) (int, error) {
	s.r.note(fmt.Sprintf("err %q", p))
	return s.ReadWriter.Write(p)
}

func (r *recorder) SendRequest(name string, wantReply bool, payload []byte) (bool, error) {
	r.note(fmt.Sprintf("%s %q", name, payload))
	return r.Channel.SendRequest(name, wantReply, payload)
}

func (r *recorder) CloseWrite() error {
	r.note("eof")
	return r.Channel.CloseWrite()
}

func (r *recorder) Close() error {
	r.note("close")
	return r.Channel.Close()
}

// ChannelType, ExtraData and Reject are NewChannel's; Read is Channel's.

// RFC 4254 leaves the order open; programs count on it: all output, then the exit, then EOF, then close.
func TestFrames(t *testing.T) {
	both := func(stdout, stderr io.Writer) error {
		io.WriteString(stdout, "1")
		io.WriteString(stderr, "2")
		io.WriteString(stdout, "3")
		return nil
	}
	lost := func(stdout, _ io.Writer) error {
		io.WriteString(stdout, "1")
		return errors.New("lost web1: link cut")
	}
	tests := []struct {
		name   string
		output func(stdout, stderr io.Writer) error
		exit   session.Exit
		deny   bool
		want   []string
	}{
		{"exit", both, session.Exit{Status: 7}, false, []string{`out "1"`, `err "2"`, `out "3"`, `exit-status "\x00\x00\x00\a"`, "eof", "close"}},
		{"signal", both, session.Exit{Signal: "KILL", Core: true}, false, []string{
			`out "1"`, `err "2"`, `out "3"`, `exit-signal "\x00\x00\x00\x04KILL\x01\x00\x00\x00\x00\x00\x00\x00\x02en"`, "eof", "close"}},
		{"lost", lost, session.Exit{}, false, []string{`out "1"`, `err "fakesshd: lost web1: link cut\n"`, `exit-status "\x00\x00\x00\xff"`, "eof", "close"}},
		{"refused", nil, session.Exit{}, true, []string{`err "fakesshd: you may not do that here\n"`, `exit-status "\x00\x00\x00\xff"`, "eof", "close"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			program := newScripted(tt.output)
			program.exit = tt.exit
			g := startGateway(t, func(_ *Config, g *gateway) {
				g.policy.deny = func(authz.Request) bool { return tt.deny }
				g.backend.start = func(context.Context, *session.Spec) (Session, error) { return program, nil }
			})
			if got := g.record(t); !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

// tcpPair is a connection from both sides. x/crypto's two ends both write first, which a net.Pipe does not bear.
func tcpPair(t *testing.T) (client, server net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		server.Close()
	})
	return client, server
}

// record runs one session over a pipe and returns what was sent on its channel.
func (g *gateway) record(t *testing.T) []string {
	client, server := tcpPair(t)
	c := newConn(g.Server, server)
	c.begin(t.Context())
	g.startups.enter() // as accept does
	defer g.startups.wait(t.Context())
	defer c.cancel(nil)
	c.sshConn = func() *gossh.ServerConn { return nil }
	go func() {
		cc, chans, reqs, err := gossh.NewClientConn(client, "", &gossh.ClientConfig{HostKeyCallback: gossh.InsecureIgnoreHostKey()})
		if err != nil {
			t.Error(err)
			return
		}
		gc := gossh.NewClient(cc, chans, reqs)
		defer gc.Close()
		if s, err := gc.NewSession(); err == nil {
			s.Run("anything")
		}
	}()
	cfg := &gossh.ServerConfig{NoClientAuth: true}
	cfg.AddHostKey(g.hostKey)
	sc, chans, reqs, err := gossh.NewServerConn(c.transport, cfg)
	if err != nil {
		t.Fatal(err)
	}
	go gossh.DiscardRequests(reqs)
	sc.Permissions = verified(&identity{subject: authz.Subject{Principal: "alice"}, login: login{Target: "web1"}})
	c.establish(sc)
	r := &recorder{NewChannel: <-chans}
	c.serveSession(r)
	sc.Wait()
	return r.frames
}
