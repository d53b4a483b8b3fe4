package session

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"reflect"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func someInvocations() []*Invocation {
	return []*Invocation{
		{Op: OpSession, Dest: "root@web1+docker.app", Host: "any", Account: "root", Timeout: 10 * time.Second,
			Spec: &Spec{Kind: Exec, Command: "caf\xe9 'x'", Env: map[string]string{"LANG": "C"},
				PTY: &PTY{Term: "xterm", Size: Size{80, 24, 0, 0}, Modes: []byte{1, 2}}}},
		{Op: OpSession, Spec: &Spec{Kind: Subsystem, Command: "sftp"}},
		{Op: OpDial, Host: "db", Network: "tcp", Address: "localhost:5432"},
		{Op: OpRun, From: "web1", Dir: "/srv", Args: []string{"rsync", "", "a b"}},
		{Op: OpHold, Host: "db"},
		{Op: "tree"},
	}
}

func TestInvocationsSurviveTheWire(t *testing.T) {
	for _, want := range someInvocations() {
		data, err := want.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseInvocation(data)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
	}
}

func TestInvocationsRefused(t *testing.T) {
	for name, i := range map[string]*Invocation{
		"no op":            {},
		"no spec":          {Op: OpSession},
		"unknown kind":     {Op: OpSession, Spec: &Spec{Kind: "x"}},
		"run in a session": {Op: OpSession, Spec: &Spec{Kind: Shell, Shim: true}},
		"no address":       {Op: OpDial, Network: "tcp"},
		"no network":       {Op: OpDial, Address: "x:1"},
		"udp":              {Op: OpDial, Network: "udp", Address: "x:1"},
		"run nowhere":      {Op: OpRun, Args: []string{"x"}},
		"run nothing":      {Op: OpRun, From: "x"},
		"NUL":              {Op: "x", Host: "a\x00b"},
		"long host":        {Op: "x", Host: strings.Repeat("h", maxDest+1)},
	} {
		data, err := i.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseInvocation(data); err == nil {
			t.Errorf("%s: accepted as %+v", name, got)
		}
	}
}

// connected are two ends of a unix socket.
func connected(t *testing.T) (a, b *InvokeConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*InvokeConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socket")
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = NewInvokeConn(c.(*net.UnixConn))
		t.Cleanup(func() { c.Close() })
	}
	return ends[0], ends[1]
}

func TestRequestBringsDescriptors(t *testing.T) {
	asks, serves := connected(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	want := someInvocations()[0]
	want.Spec.Command = strings.Repeat("long ", 100_000)
	sent := make(chan error, 1)
	go func() {
		fd := int(w.Fd())
		err := asks.Ask(want, fd, fd, fd)
		w.Close()
		sent <- err
	}()
	got, files, err := serves.Request()
	if err != nil || !reflect.DeepEqual(got, want) || len(files) != 3 {
		t.Fatalf("%+v, %d descriptors, %v", got, len(files), err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if _, err := f.Write([]byte("x")); err != nil {
			t.Error(err)
		}
	}
	CloseDescriptors(files)
	if data, err := io.ReadAll(r); string(data) != "xxx" || err != nil {
		t.Errorf("%q, %v", data, err)
	}
}

func TestMessages(t *testing.T) {
	a, b := connected(t)
	want := []Message{{InvokeStarted, []byte{}}, {InvokeSize, AppendSize(nil, Size{1, 2, 3, 4})}, {InvokeError, []byte("one; two")}}
	go func() {
		a.Send(InvokeStarted, nil)
		a.Send(want[1].Kind, want[1].Data)
		a.SendError(errors.New("one\ntwo\n"))
		a.Close()
	}()
	for _, m := range want {
		if got, err := b.Next(); err != nil || got.Kind != m.Kind || !bytes.Equal(got.Data, m.Data) {
			t.Errorf("got %v, %v", got, err)
		}
	}
	if _, err := b.Next(); err != io.EOF {
		t.Error(err)
	}
	if err := a.Send(InvokeError, make([]byte, maxInvokeEvent+1)); err == nil {
		t.Error("a message that nobody would read was sent")
	}
}

func TestRequestsRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		data string
		fds  int
		want error
	}{
		"mitogen.unix": {"\x00\x00\x00\x07", 0, ErrMitogenUnix},
		"nothing":      {"", 0, io.EOF},
		"cut":          {"Q\x00\x00", 0, io.ErrUnexpectedEOF},
		"cut later":    {"Q\x00\x00\x00\x05abc", 0, io.ErrUnexpectedEOF},
		"other kind":   {"s\x00\x00\x00\x00", 0, nil},
		"four":         {"Q\x00\x00\x00\x00", 4, nil},
		"empty":        {"Q\x00\x00\x00\x00", 1, nil},
		"huge":         {"Q\x7f\x00\x00\x00", 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := connected(t)
			var oob []byte
			for range tt.fds {
				oob = syscall.UnixRights(0, 0, 0, 0)[:syscall.CmsgSpace(4*tt.fds)]
			}
			if tt.fds == 1 {
				oob = syscall.UnixRights(0)
			}
			if _, _, err := a.conn.WriteMsgUnix([]byte(tt.data), oob, nil); err != nil && tt.data != "" {
				t.Fatal(err)
			}
			a.conn.CloseWrite()
			i, files, err := b.Request()
			CloseDescriptors(files)
			if i != nil || err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("%v, %v", i, err)
			}
		})
	}
}

func FuzzInvocation(f *testing.F) {
	for _, i := range someInvocations() {
		data, err := i.Append(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		i, err := ParseInvocation(data)
		if err != nil {
			return
		}
		again, err := i.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		j, err := ParseInvocation(again)
		if err != nil || !reflect.DeepEqual(i, j) {
			t.Fatalf("%+v, %+v, %v", i, j, err)
		}
	})
}

func FuzzMessage(f *testing.F) {
	f.Add([]byte("Q\x00\x00\x00\x01x"))
	f.Add([]byte("s\x00\x00\x00\x04TERMx\x00\x00\x00\x00"))
	f.Add([]byte("\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		for {
			m, err := readMessage(r, nil)
			if err != nil {
				return
			}
			if m.Kind == 0 || len(m.Data) > limitOf(m.Kind) {
				t.Fatalf("%d, %d bytes", m.Kind, len(m.Data))
			}
			_, _ = ParseExit(m.Data)
			_, _, _ = ParseAsk(m.Data)
		}
	})
}

// Too many open files, for a while, is not the end of accepting.
func TestAcceptOutlivesErrors(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "fakessh-test-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: dir + "/s", Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	asks, err := DialInvoke(dir + "/s")
	if err != nil {
		t.Fatal(err)
	}
	defer asks.Close()
	restore := noMoreFiles(t)
	defer restore()
	var told []error
	conn, err := AcceptInvoke(t.Context(), ln, func(err error) {
		told = append(told, err)
		restore()
	})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if len(told) != 1 || !errors.Is(told[0], syscall.EMFILE) {
		t.Errorf("told %v", told)
	}
	ln.Close()
	if _, err := AcceptInvoke(t.Context(), ln, nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// noMoreFiles lowers the limit of open files to what is open.
func noMoreFiles(t *testing.T) (restore func()) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	null, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(null)
	low := old
	setLimit(&low.Cur, null)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			t.Error(err)
		}
	}
}

// setLimit sets a limit, whose type is the system's.
func setLimit[T int64 | uint64](limit *T, n int) { *limit = T(n) }

// Who refuses before the request is read is heard all the same.
func TestRefusalBeforeTheRequestIsHeard(t *testing.T) {
	asks, serves := connected(t)
	if err := serves.SendError(errors.New("no")); err != nil {
		t.Fatal(err)
	}
	serves.Close()
	if err := asks.Ask(&Invocation{Op: "x"}); err == nil || err.Error() != "no" {
		t.Errorf("got %v", err)
	}
}

// The memory for a message is what has come of it.
func TestMessagesTakeNoMemoryInAdvance(t *testing.T) {
	header := appendMessageHeader(nil, InvokeRequest, maxInvokeRequest)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 100 {
		if _, err := readMessage(bytes.NewReader(append(header, 'x')), nil); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if spent := after.TotalAlloc - before.TotalAlloc; spent > 1<<20 {
		t.Errorf("%d bytes for a hundred messages of one byte each", spent)
	}
}
