package proxy

import (
	"runtime"
	"strings"
	"testing"
	"time"
)

// After Close nothing of a server is left, whatever it has served.
func TestNothingIsLeftBehind(t *testing.T) {
	t.Run("use", func(t *testing.T) {
		g := startGateway(t)
		for _, args := range [][]string{
			{"web1@gw", "exit 1"}, {"nosuch@gw", "true"}, {"nobody=web1@gw", "true"}, {"-J", "gw", "alice@web1", "true"},
			{"-A", "-R", "0:127.0.0.1:1", "web1@gw", "true"}, {"-W", "127.0.0.1:1", "web1@gw"},
		} {
			run(t, g.ssh(args...))
		}
		s, err := g.client("web1").NewSession() // left open for Close
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Start("sleep 60"); err != nil {
			t.Fatal(err)
		}
		f := g.forwards("web1")
		_, port := f.tcp(reqForwardTCPIP, "", 0)
		connectTo(t, "tcp", destination("127.0.0.1", int(port)))
		f.accept(chanForwardedTCPIP)
	})
	var stacks string
	for range 200 { // goroutines that are done may not have left yet
		buf := make([]byte, 1<<20)
		stacks = string(buf[:runtime.Stack(buf, true)])
		if !strings.Contains(stacks, "fakessh/proxy.(*") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("left:\n%s", stacks)
}
