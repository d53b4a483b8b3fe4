package methods

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fakessh/bootstrap"
)

// offering is an agent's side of an offer, in this process: first is what the parent looks for, second where it answers.
type offering struct {
	bootstrap.Offer
	first, second int
}

// offerOf makes a pair of sockets of that kind and names the first one.
func offerOf(t *testing.T, kind int) *offering {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	o := &offering{first: fds[0], second: fds[1]}
	o.Offer = named(t, o.first)
	t.Cleanup(func() { unix.Close(o.first); unix.Close(o.second) })
	return o
}

// named is an offer of a descriptor of this process.
func named(t *testing.T, fd int) bootstrap.Offer {
	t.Helper()
	var ns unix.Stat_t
	if err := unix.Stat("/proc/self/ns/pid", &ns); err != nil {
		t.Fatal(err)
	}
	return bootstrap.Offer{PIDNS: ns.Ino, PID: os.Getpid(), FD: fd, Token: [bootstrap.TokenSize]byte{1, 2, 3}}
}

// leave sends what a parent will look at.
func (o *offering) leave(t *testing.T, message []byte) {
	t.Helper()
	if _, err := unix.Write(o.second, message); err != nil {
		t.Fatal(err)
	}
}

// take waits for the descriptor that the parent sends.
func (o *offering) take() (int, error) {
	var data [1]byte
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(o.second, data[:], oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return -1, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		return -1, err
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return -1, err
	}
	return fds[0], nil
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

func TestOfferIsTaken(t *testing.T) {
	o := offerOf(t, unix.SOCK_SEQPACKET)
	o.leave(t, o.Token[:])
	before := openDescriptors(t)
	far := make(chan int, 1)
	go func() {
		fd, err := o.take()
		if err == nil {
			_, err = unix.Write(fd, []byte{0})
		}
		if err != nil {
			t.Error(err)
		}
		far <- fd
	}()
	conn, err := takeOffer(t.Context(), &o.Offer)
	if err != nil {
		t.Fatal(err)
	}
	fd := <-far
	if _, err := conn.Write([]byte("down")); err != nil {
		t.Error(err)
	}
	buf := make([]byte, 8)
	if n, err := unix.Read(fd, buf); string(buf[:max(n, 0)]) != "down" {
		t.Errorf("read %q, %v", buf[:max(n, 0)], err)
	}
	// Nothing that the far side can change is shared: this is not the near end's flag.
	if err := unix.SetNonblock(fd, false); err != nil {
		t.Error(err)
	}
	if size, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF); size < linkBuffer {
		t.Errorf("the far end's buffer has %d bytes", size)
	}
	unix.Close(fd)
	if rest, err := io.ReadAll(conn); len(rest) > 0 || err != nil {
		t.Errorf("after the end: %q, %v", rest, err)
	}
	conn.Close()
	if after := openDescriptors(t); after > before {
		t.Errorf("%d descriptors, there were %d", after, before)
	}
}

// says reports whether err has one of the texts, which are separated by |: where time has run out, two places see it.
func says(err error, texts string) bool {
	return slices.ContainsFunc(strings.Split(texts, "|"), func(text string) bool { return strings.Contains(err.Error(), text) })
}

// Whatever an agent says, nothing is done to a socket that is not its own.
func TestOfferOfSomethingElse(t *testing.T) {
	file, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	l, err := net.Listen("unix", "@fakessh-test-offer-"+hex.EncodeToString([]byte(t.Name())))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	listener, err := l.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	token := named(t, 0).Token

	stream := offerOf(t, unix.SOCK_STREAM)
	stream.leave(t, token[:])
	longer := offerOf(t, unix.SOCK_SEQPACKET)
	longer.leave(t, append(token[:], 0))
	shorter := offerOf(t, unix.SOCK_SEQPACKET)
	shorter.leave(t, token[:15])
	other := offerOf(t, unix.SOCK_SEQPACKET)
	other.leave(t, bytes.Repeat([]byte{9}, len(token)))
	nothing := offerOf(t, unix.SOCK_SEQPACKET)
	hungUp := offerOf(t, unix.SOCK_SEQPACKET)
	if err := unix.Shutdown(hungUp.second, unix.SHUT_RDWR); err != nil {
		t.Fatal(err)
	}
	elsewhere := named(t, stream.first)
	elsewhere.PIDNS++
	nobody := named(t, stream.first)
	nobody.PID = 1 << 30

	for name, c := range map[string]struct {
		offer bootstrap.Offer
		want  string
	}{
		"a file":            {named(t, int(file.Fd())), errNoSocket.Error()},
		"a pipe":            {named(t, int(r.Fd())), errNoSocket.Error()},
		"a listener":        {named(t, int(listener.Fd())), errNoSocket.Error()},
		"nothing":           {named(t, 1<<20), errNoSocket.Error()},
		"a stream":          {stream.Offer, errNoSocket.Error()},
		"no token":          {nothing.Offer, "recvfrom: resource temporarily unavailable"},
		"a longer token":    {longer.Offer, "the socket offered has another token"},
		"a shorter token":   {shorter.Offer, "the socket offered has another token"},
		"another token":     {other.Offer, "the socket offered has another token"},
		"the end":           {hungUp.Offer, "the socket offered has another token"},
		"another namespace": {elsewhere, "the agent's process is not in sight|deadline"},
		"no process":        {nobody, errNoSocket.Error()},
	} {
		before := openDescriptors(t)
		conn, err := takeOffer(t.Context(), &c.offer)
		if conn != nil || err == nil || !says(err, c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		if after := openDescriptors(t); after != before {
			t.Errorf("%s: %d descriptors, there were %d", name, after, before)
		}
	}
	for name, o := range map[string]*offering{"stream": stream, "longer": longer, "shorter": shorter, "other": other, "nothing": nothing} {
		var buf [32]byte
		if n, _, err := unix.Recvfrom(o.second, buf[:], unix.MSG_DONTWAIT); !errors.Is(err, unix.EAGAIN) {
			t.Errorf("%s: %d bytes were sent, %v", name, n, err)
		}
		if n, _, _ := unix.Recvfrom(o.first, buf[:], unix.MSG_DONTWAIT); n < 15 && o != nothing {
			t.Errorf("%s: what waited there has been taken away", name)
		}
	}
}

// An agent that shows the token and then does nothing costs offerTime, one that refuses nothing.
func TestOfferThatIsNotKept(t *testing.T) {
	for name, c := range map[string]struct {
		agent func(o *offering)
		want  string
	}{
		"silent":      {func(*offering) {}, "timeout|deadline"},
		"no answer":   {func(o *offering) { _, _ = o.take() }, "timeout|deadline"},
		"refuses":     {func(o *offering) { fd, _ := o.take(); unix.Close(fd) }, "the agent does not take the socket: connection refused"},
		"takes no fd": {func(o *offering) { _, _ = unix.Read(o.second, make([]byte, 1)) }, "the agent does not take the socket: connection refused"},
		"full": {func(o *offering) {
			_ = unix.SetNonblock(o.first, true)
			for { // what the parent would send has no room
				if _, err := unix.Write(o.first, make([]byte, 4096)); err != nil {
					return
				}
			}
		}, "sendmsg: resource temporarily unavailable"},
		"gone": {func(o *offering) { _ = unix.Shutdown(o.second, unix.SHUT_RD) }, "sendmsg: broken pipe"},
	} {
		t.Run(name, func(t *testing.T) {
			o := offerOf(t, unix.SOCK_SEQPACKET)
			o.leave(t, o.Token[:])
			if name == "full" || name == "gone" {
				c.agent(o)
			} else {
				go c.agent(o)
			}
			begin := time.Now()
			conn, err := takeOffer(t.Context(), &o.Offer)
			if conn != nil || err == nil || !says(err, c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
			if took := time.Since(begin); took > 5*offerTime {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// A link takes bytes and nothing else, where the kernel can see to that.
func TestLinkTakesNoDescriptors(t *testing.T) {
	ours, theirs, err := newLink()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	defer theirs.Close()
	if _, err := unix.GetsockoptInt(int(theirs.Fd()), unix.SOL_SOCKET, unix.SO_PASSRIGHTS); errors.Is(err, unix.ENOPROTOOPT) {
		t.Skip("this kernel has no such option")
	}
	rights := unix.UnixRights(int(theirs.Fd()))
	if err := unix.Sendmsg(int(theirs.Fd()), []byte{0}, rights, nil, unix.MSG_DONTWAIT); !errors.Is(err, unix.EPERM) {
		t.Errorf("sending a descriptor gave %v", err)
	}
	if n, err := theirs.Write([]byte("x")); n != 1 || err != nil {
		t.Errorf("sending a byte gave %v", err)
	}
}

func TestOfferIsCancelled(t *testing.T) {
	o := offerOf(t, unix.SOCK_SEQPACKET)
	o.leave(t, o.Token[:])
	cause := errors.New("changed my mind")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() { // ends when the parent waits for an answer
		_, _ = o.take()
		cancel(cause)
	}()
	if conn, err := takeOffer(ctx, &o.Offer); conn != nil || err == nil {
		t.Errorf("%v", err)
	}
}

// offerEnv has the test program take an offer that it is told, as another account, and say what came of it.
const offerEnv = "METHODS_TEST_OFFER"

// Without the right to trace the agent there is no way to its socket.
func TestOfferWithoutTheRights(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("root is missing")
		}
		t.Skip("root is missing")
	}
	o := offerOf(t, unix.SOCK_SEQPACKET)
	o.leave(t, o.Token[:])
	cmd := exec.Command("/proc/self/exe", "-test.run", "^TestOfferHelper$", "-test.v")
	cmd.Env = append(os.Environ(), offerEnv+"="+o.Capability())
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "refused: the agent offers something else than such a socket") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestOfferHelper is the program of TestOfferWithoutTheRights.
func TestOfferHelper(t *testing.T) {
	text := os.Getenv(offerEnv)
	if text == "" {
		return
	}
	var said bytes.Buffer
	if err := bootstrap.Announce(&said, "1", []string{text}); err != nil {
		t.Fatal(err)
	}
	rw := struct {
		io.Reader
		io.Writer
	}{&said, io.Discard}
	ready, err := bootstrap.Start(t.Context(), rw, nil, bootstrap.Config{Offer: true}, bootstrap.Options{Direct: true})
	if err != nil {
		t.Fatal(err)
	}
	_, err = takeOffer(t.Context(), ready.Offer)
	t.Logf("refused: %v", err)
}
