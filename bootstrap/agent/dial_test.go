package agent

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"fakessh/bootstrap/agent/session"
	"fakessh/router"
)

// listen serves one connection with fn.
func listen(t *testing.T, network, address string, fn func(c net.Conn)) string {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { // ends with the connection, or the listener
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		fn(c)
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr().String()
}

// reverse answers only when it has seen the end, so that a lost half-close would hang.
func reverse(c net.Conn) {
	data, _ := io.ReadAll(c)
	_, _ = io.WriteString(c, "got "+string(data))
}

func TestDialHalfCloses(t *testing.T) {
	w := newWorld(t)
	for network, address := range map[string]string{"tcp": "127.0.0.1:0", "unix": t.TempDir() + "/s"} {
		s, err := session.Dial(t.Context(), w.peer, network, listen(t, network, address, reverse))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(s, "hello")
		_ = s.CloseWrite()
		if got, err := io.ReadAll(s); err != nil || string(got) != "got hello" {
			t.Errorf("%s: %q, %v", network, got, err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: close: %v", network, err)
		}
	}
}

func TestDialPeerFinishesFirst(t *testing.T) {
	w := newWorld(t)
	got := make(chan string, 1)
	addr := listen(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
		_, _ = io.WriteString(c, "banner")
		_ = c.(*net.TCPConn).CloseWrite()
		data, _ := io.ReadAll(c)
		got <- string(data)
	})
	s, err := session.Dial(t.Context(), w.peer, "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if data, err := io.ReadAll(s); err != nil || string(data) != "banner" {
		t.Errorf("%q, %v", data, err)
	}
	_, _ = io.WriteString(s, "late")
	_ = s.CloseWrite()
	if late := <-got; late != "late" {
		t.Errorf("got %q", late)
	}
}

func TestDialErrorsReadLikeOpenSSHs(t *testing.T) {
	w := newWorld(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := l.Addr().String()
	l.Close()
	for _, tc := range []struct{ network, address, want string }{
		{"tcp", free, "connect failed: Connection refused"},
		{"unix", t.TempDir() + "/absent", "connect failed: No such file or directory"},
		{"udp", free, "connect failed: unknown network udp"},
		{"tcp", "127.0.0.1:99999", "connect failed: "},
		{"tcp", "127.0.0.1", "connect failed: "},
	} {
		_, err := session.Dial(t.Context(), w.peer, tc.network, tc.address)
		var call *router.CallError
		if !errors.As(err, &call) || !strings.HasPrefix(call.Text, tc.want) {
			t.Errorf("%s %s: %v, want %q", tc.network, tc.address, err, tc.want)
		}
	}
}

func TestDialBrokenConnectionResets(t *testing.T) {
	w := newWorld(t)
	addr := listen(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
		_, _ = io.ReadFull(c, make([]byte, 4))
		_ = c.(*net.TCPConn).SetLinger(0)
	})
	s, err := session.Dial(t.Context(), w.peer, "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, _ = io.WriteString(s, "ping")
	_, err = io.ReadAll(s)
	var reset *router.ResetError
	if !errors.As(err, &reset) || reset.Reason != "Connection reset by peer" {
		t.Errorf("got %v", err)
	}
}

func TestDialLostStreamClosesTheConnection(t *testing.T) {
	w := newWorld(t)
	closed := make(chan error, 1)
	addr := listen(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
		_, err := io.Copy(io.Discard, c)
		closed <- err
	})
	s, err := session.Dial(t.Context(), w.peer, "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s.Reset(errors.New("gone"))
	<-closed
}
