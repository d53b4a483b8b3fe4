package integration

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"fakessh/integration/bed"
)

// echoServer answers each connection with what it got, after the peer's EOF, and ends with the test.
func echoServer(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				got, _ := io.ReadAll(c)
				c.Write(append([]byte("got "), got...))
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

func TestStdioForwardDialsInsideTheTarget(t *testing.T) {
	port := echoServer(t)
	cmd := b.SSH("-W", fmt.Sprintf("127.0.0.1:%d", port), "web1@gw")
	cmd.Stdin = strings.NewReader("hello")
	if r := ok(t, cmd); r.out != "got hello" {
		t.Errorf("got %q: the half-close is lost", r.out)
	}
	r := do(t, b.SSH("-W", "127.0.0.1:1", "web1@gw"))
	if r.code != 255 || !strings.Contains(r.err, "connect failed: Connection refused") {
		t.Errorf("exit %d: %q", r.code, r.err)
	}
	cmd = b.SSH("-W", fmt.Sprintf("127.0.0.1:%d", port), "app@gw") // the container has no network
	if r := do(t, cmd); r.code != 255 {
		t.Errorf("the dial did not happen inside: %q", r.out)
	}
}

// forwarding starts a client that does nothing but forward, and waits until it listens on the port that arg gets for %d.
func forwarding(t *testing.T, dest, option, arg string) (port int) {
	t.Helper()
	port, err := bed.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	cmd := b.SSH("-N", "-o", "ExitOnForwardFailure=yes", option, fmt.Sprintf(arg, port), dest)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if err := bed.WaitPort(port, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	return port
}

// dial connects to a port of this machine. What takes longer than limit fails.
func dial(t *testing.T, port int) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(limit))
	return c.(*net.TCPConn)
}

// exchange sends data and EOF, and wants echoServer's answer, which comes after the EOF, and EOF.
func exchange(c *net.TCPConn, data []byte) error {
	go func() { // ends when the server has taken everything, or with the connection
		c.Write(data)
		c.CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, append([]byte("got "), data...)) {
		return fmt.Errorf("%d bytes came back of %d, or others: %v", len(got), len(data)+4, err)
	}
	return nil
}

func TestLocalForwardOfManyConnectionsAtOnce(t *testing.T) { manyConnectionsAtOnce(t, "-L") }

// manyConnectionsAtOnce has one forward, -L or -R, carry connections beside an idle one.
func manyConnectionsAtOnce(t *testing.T, option string) {
	port := echoServer(t)
	for _, dest := range []string{"web1@gw", "local@gw", "hop3@gw"} {
		t.Run(dest, func(t *testing.T) {
			end := forwarding(t, dest, option, fmt.Sprintf("127.0.0.1:%%d:localhost:%d", port))
			idle := dial(t, end) // stays open beside the others, and works afterwards
			var wg sync.WaitGroup
			for i := range 20 {
				c := dial(t, end)
				wg.Go(func() {
					if err := exchange(c, bytes.Repeat([]byte{byte(i)}, 100000*i)); err != nil {
						t.Errorf("connection %d: %v", i, err)
					}
				})
			}
			wg.Wait()
			if err := exchange(idle, []byte("late")); err != nil {
				t.Error(err)
			}
		})
	}
}

// socks asks the client's SOCKS 5 server on port for a connection (RFC 1928) and returns it with the reply's code.
func socks(t *testing.T, port int, host string, to int) (*net.TCPConn, byte) {
	t.Helper()
	c := dial(t, port)
	request := append([]byte{5, 1, 0, 5, 1, 0, 3, byte(len(host))}, host...)
	c.Write(append(request, byte(to>>8), byte(to)))
	reply := make([]byte, 2+10)
	if n, err := io.ReadFull(c, reply); err != nil && n < 4 {
		return c, 0xff
	}
	return c, reply[3]
}

func TestDynamicForwardDialsInsideTheTarget(t *testing.T) {
	port := echoServer(t)
	here := forwarding(t, "web1@gw", "-D", "127.0.0.1:%d")
	var wg sync.WaitGroup
	for range 5 {
		c, code := socks(t, here, "localhost", port) // a name: it is looked up inside
		if code != 0 {
			t.Fatalf("reply %d", code)
		}
		wg.Go(func() {
			if err := exchange(c, []byte("hello")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if _, code := socks(t, here, "127.0.0.1", 1); code == 0 {
		t.Error("a port that nobody listens on was connected to")
	}
	if err := func() error { c, _ := socks(t, here, "127.0.0.1", port); return exchange(c, []byte("again")) }(); err != nil {
		t.Errorf("after a refusal: %v", err)
	}
}
