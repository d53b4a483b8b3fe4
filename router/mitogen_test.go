package router_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"

	"fakessh/router"
	"fakessh/router/pickle"
	"fakessh/router/routertest"
)

// The real Mitogen at the other end of a link, Debian's: as a child of ours, and as our parent.

// mitogenChild is a context as Mitogen's bootstrap leaves it, with the link on stdin and stdout.
const mitogenChild = `
import os, mitogen, mitogen.core
os.dup2(0, 100)
os.dup2(os.open('/dev/null', os.O_RDWR), 0)
mitogen.core.ExternalContext({
    'parent_ids': [0], 'context_id': 1, 'debug': False, 'profiling': False, 'unidirectional': True, 'log_level': 30, 'whitelist': (),
    'blacklist': (), 'max_message_size': 128 << 20, 'version': mitogen.__version__, 'in_fd': 100, 'out_fd': 1, 'core_src_fd': None,
    'setup_stdio': False, 'setup_package': False, 'send_ec2': False,
}).main()
`

// mitogenMaster calls functions of the context at the other end of stdin and stdout, and tells on stderr what came of it.
const mitogenMaster = `
import os, sys, mitogen, mitogen.core, mitogen.master, mitogen.parent
broker = mitogen.master.Broker()
router = mitogen.master.Router(broker)
id = router.allocate_id()
stream = mitogen.core.MitogenProtocol.build_stream(router, id, local_id=0, parent_ids=[])
stream.name = 'go'
stream.accept(os.fdopen(os.dup(0), 'rb', 0), os.fdopen(os.dup(1), 'wb', 0))
child = mitogen.parent.Context(router, id, 'go')
broker.defer_sync(lambda: router.register(child, stream))
def function(name):
    def f(*args): pass
    f.__module__, f.__name__ = 'demo', name
    if hasattr(f, '__qualname__'): f.__qualname__ = name
    return f
def tell(what):
    sys.stderr.write(what + '\n')
    sys.stderr.flush()
echo, fail, missing = function('echo'), function('fail'), function('missing')
for value in (None, True, 7, -1, 1 << 62, 1.5, u'gr\u00fc\u00dfe', b'\x00\xff', [1, [u'x']], {u'a': [b'b', None]}, (1, u'2')):
    got = child.call(echo, value)
    tell('same' if got == value else '%r for %r' % (got, value))
big = b'x' * (5 << 20)
tell('same' if child.call(echo, big) == big else 'big differs')
for f in fail, missing:
    try:
        tell('no error: %r' % (child.call(f),))
    except mitogen.core.CallError as e:
        tell(str(e).splitlines()[0])
calls = [child.call_async(echo, n) for n in range(100)]
tell(str(sum(c.get().unpickle() for c in calls)))
tell('ids %d' % child.call(function('allocate')))
child.shutdown(wait=True)
tell('end')
broker.shutdown()
broker.join()
`

// pipes are stdin and stdout of a process, as one stream.
type pipes struct {
	io.Reader
	io.WriteCloser
	out io.Closer
}

func (p pipes) Close() error { return errors.Join(p.WriteCloser.Close(), p.out.Close()) }

// startMitogen runs script. ended gives how the process has ended, which it has to.
func startMitogen(t *testing.T, script string) (link io.ReadWriteCloser, said *bytes.Buffer, ended func() error, pid int) {
	t.Helper()
	cmd := exec.Command(routertest.Mitogen(t), "-c", script)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe() // StdoutPipe is closed when the process ends, what it said read or not
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, said = w, &bytes.Buffer{}
	cmd.Stderr, cmd.WaitDelay = said, 10*time.Second // of what it has started nobody waits for
	err = cmd.Start()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() {
		kill.Stop()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("python says:\n%s", said)
		}
	})
	return pipes{r, in, r}, said, cmd.Wait, cmd.Process.Pid
}

func TestMitogenAsChild(t *testing.T) {
	routertest.Leaks(t)
	link, _, ended, pid := startMitogen(t, mitogenChild)
	logged := make(chan string, 1)
	gateway := router.New(router.Config{Unidirectional: true, ForwardedLog: func(from router.ContextID, logger string, _ router.Level, text string) {
		select {
		case logged <- fmt.Sprint(from, " ", logger, " ", text):
		default: // only the first is looked at
		}
	}})
	t.Cleanup(func() { gateway.Close() })
	python, err := gateway.AddLink(link, router.LinkConfig{Remote: 1, Name: "python", MaxMessage: 128 << 20})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	if got, err := python.Call(ctx, "os.getpid"); got != int64(pid) || err != nil {
		t.Errorf("os.getpid gives %v, %v, want %d", got, err, pid)
	}
	for _, value := range []any{nil, true, int64(7), int64(-1), int64(1) << 62, 1.5, "grüße\n", []byte{0, 255}, pickle.Tuple{int64(1), "2"}} {
		if got, err := python.Call(ctx, "copy.deepcopy", value); !reflect.DeepEqual(plainBytes(got), value) || err != nil {
			t.Errorf("%#v comes back as %#v, %v", value, got, err)
		}
	}
	big, err := python.Call(ctx, "operator.mul", []byte("x"), int64(5<<20))
	if got, ok := plainBytes(big).([]byte); !ok || len(got) != 5<<20 || err != nil {
		t.Errorf("a large answer is %T, %v", big, err)
	}
	if got, err := python.Call(ctx, "zlib.crc32", bytes.Repeat([]byte("y"), 5<<20)); got == nil || err != nil {
		t.Errorf("a large argument gives %v, %v", got, err)
	}
	var call *router.CallError
	if _, err := python.Call(ctx, "operator.floordiv", int64(1), int64(0)); !errors.As(err, &call) || !strings.HasSuffix(call.Type, "ZeroDivisionError") || !strings.Contains(call.Trace, "File ") {
		t.Errorf("an exception is %#v", err)
	}
	chain := python.Chain()
	if err := chain.CallNoReply("operator.floordiv", int64(1), int64(0)); err != nil {
		t.Error(err)
	}
	if _, err := chain.Call(ctx, "os.getpid"); !errors.As(err, &call) || !strings.HasSuffix(call.Type, "ZeroDivisionError") {
		t.Errorf("after an error in a chain: %v", err)
	}
	if err := chain.Close(); err != nil {
		t.Error(err)
	}
	if err := python.CallNoReply("logging.warning", "beware"); err != nil {
		t.Error(err)
	}
	select {
	case got := <-logged:
		if got != "1 root beware" {
			t.Errorf("logged %q", got)
		}
	case <-ctx.Done():
		t.Error("nothing is logged")
	}
	if err := python.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if !errors.Is(python.Err(), router.ErrLost) {
		t.Errorf("after the shutdown: %v", python.Err())
	}
	_ = ended() // by a signal of its own, or with 0
}

// plainBytes takes the type off that marks bytes.
func plainBytes(v any) any {
	if b, ok := v.(pickle.Blob); ok {
		return []byte(b)
	}
	return v
}

func TestMitogenAsMaster(t *testing.T) {
	routertest.Leaks(t)
	link, said, ended, _ := startMitogen(t, mitogenMaster)
	child := router.New(router.Config{ID: 1, ParentIDs: []router.ContextID{0}, MaxMessage: 128 << 20})
	t.Cleanup(func() { child.Close() })
	child.Register("demo.echo", func(_ context.Context, c *router.Call) (any, error) { return c.Args[0], nil })
	child.Register("demo.fail", func(context.Context, *router.Call) (any, error) { return nil, errors.New("it does not work") })
	child.Register("demo.allocate", func(ctx context.Context, c *router.Call) (any, error) { // the master has given 1 away
		id, err := child.AllocateID(ctx)
		return int64(id), err
	})
	master, err := child.AddLink(link, router.LinkConfig{Remote: 0, Parent: true})
	if err != nil {
		t.Fatal(err)
	}
	err = ended()
	want := strings.Repeat("same\n", 12) + "fakessh.Error: it does not work\nfakessh.router.NotFound: no function demo.missing\n4950\nids 2\nend\n"
	if said.String() != want || err != nil {
		t.Errorf("%v, it says\n%s\nwant\n%s", err, said, want)
	}
	select {
	case <-master.Done():
	case <-time.After(10 * time.Second):
		t.Error("the link outlives its master")
	}
}
