package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"fakessh/bootstrap/agent/session"
)

func TestShutdownWaitsForSessions(t *testing.T) {
	g := startGateway(t)
	c := g.client("web1")
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	in, _ := s.StdinPipe()
	if err := s.Start("cat; exit 3"); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- g.Shutdown(context.Background()) }()
	<-g.served
	if _, err := net.Dial("tcp", g.addr); err == nil {
		t.Error("a connection is accepted")
	}
	if _, err := c.NewSession(); err == nil || !strings.Contains(err.Error(), "shutting down") {
		t.Errorf("new session: %v", err)
	}
	in.Close()
	var exit *gossh.ExitError
	if err := s.Wait(); !errors.As(err, &exit) || exit.ExitStatus() != 3 {
		t.Errorf("session: %v", err)
	}
	if err := <-done; err != nil {
		t.Errorf("shutdown: %v", err)
	}
}

func TestShutdownTellsWhomItCutsOff(t *testing.T) {
	g := startGateway(t)
	cmd := g.ssh("web1@gw", "echo ready; sleep 60")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	io.ReadFull(out, make([]byte, 6))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := g.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("shutdown: %v", err)
	}
	cmd.Wait()
	if status := cmd.ProcessState.ExitCode(); status != 255 || stderr.String() != "fakesshd: shutting down\n" {
		t.Errorf("status %d, %q", status, stderr.String())
	}
}

// A stream that the gateway's end cuts short does not look complete.
func TestShutdownCutsForwardsShort(t *testing.T) {
	far, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	go func() { // ends with the client's half of the first connection
		if c, err := far.Accept(); err == nil {
			io.WriteString(c, "begin\n")
			io.Copy(io.Discard, c)
			c.Close()
		}
	}()
	g := startGateway(t)
	cmd := g.ssh("-W", far.Addr().String(), "web1@gw")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	in, _ := cmd.StdinPipe()
	defer in.Close()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 6)); err != nil {
		t.Fatal(err, stderr.String())
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := g.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("shutdown: %v", err)
	}
	cmd.Wait()
	if status := cmd.ProcessState.ExitCode(); status != 255 || !strings.Contains(stderr.String(), "closed by remote host") {
		t.Errorf("status %d, %q", status, stderr.String())
	}
}

func TestServeAfterShutdown(t *testing.T) {
	g := startGateway(t)
	g.Shutdown(context.Background())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Serve(l); !errors.Is(err, ErrServerClosed) {
		t.Errorf("got %v", err)
	}
}

func TestChannelsAreBounded(t *testing.T) {
	g := startGateway(t, func(cfg *Config, _ *gateway) { cfg.MaxChannels = 3 })
	c := g.client("web1")
	for range 3 {
		ch, reqs, err := c.OpenChannel(chanSession, nil)
		if err != nil {
			t.Fatal(err)
		}
		go gossh.DiscardRequests(reqs)
		defer ch.Close()
	}
	var refused *gossh.OpenChannelError
	if _, _, err := c.OpenChannel(chanSession, nil); !errors.As(err, &refused) || refused.Reason != gossh.ResourceShortage {
		t.Errorf("got %v", err)
	}
}

func TestPanicEndsOneConnection(t *testing.T) {
	g := startGateway(t, func(_ *Config, g *gateway) {
		g.backend.start = func(_ context.Context, spec *session.Spec) (Session, error) {
			if spec.Command == "panic" {
				panic("test")
			}
			return startLocal(spec)
		}
	})
	other := g.client("web1")
	s, err := g.client("web1").NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run("panic"); err == nil {
		t.Error("the session has succeeded")
	}
	s, err = other.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run("true"); err != nil {
		t.Errorf("the other connection: %v", err)
	}
}

func TestNoMoreSessions(t *testing.T) {
	g := startGateway(t)
	c := g.client("web1")
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if ok, _, err := c.SendRequest(reqNoMoreSessions, true, nil); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if _, err := c.NewSession(); err == nil {
		t.Error("another session was opened")
	}
	ended := make(chan struct{})
	go func() { // ends with the connection
		_ = c.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the connection goes on")
	}
}

func TestGauge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gauge
		if err := g.wait(t.Context()); err != nil {
			t.Error(err)
		}
		g.enter()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := g.wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		go func() {
			time.Sleep(time.Second)
			g.enter()
			g.leave()
			g.leave()
		}()
		if err := g.wait(t.Context()); err != nil || g.count() != 0 {
			t.Errorf("got %v, %d", err, g.count())
		}
	})
}
