package methodtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"fakessh/methods"
)

// behaviour is one promise of Dial. Those for tools do not concern methods without one.
type behaviour struct {
	name string
	tool bool
	run  func(t *testing.T, c Case)
}

var behaviours = []behaviour{
	{"starts", false, starts},
	{"carries all bytes both ways", false, carriesBytes},
	{"half-closes", false, halfCloses},
	{"ends and is reaped", false, isReaped},
	{"is cancelled", true, isCancelled},
	{"is cancelled before it starts", false, isCancelledEarly},
	{"never answers", true, neverAnswers},
	{"dies before ready", true, diesBeforeReady},
	{"dies silently", true, diesSilently},
	{"dies later", true, diesLater},
	{"prints noise first", true, printsNoise},
	{"ignores the end and SIGTERM", true, ignoresTheEnd},
	{"is not there", true, isNotThere},
	{"refuses unknown parameters", false, refusesUnknown},
	{"logs its words", true, logsWords},
}

// Run holds c's method to all promises, and looks for what it leaves behind. The tests change the environment, so they are not parallel.
func Run(t *testing.T, c Case) {
	t.Run("argv", c.table)
	c.home = t.TempDir()
	for _, b := range behaviours {
		if b.tool && c.Direct {
			continue
		}
		t.Run(b.name, func(t *testing.T) {
			b.run(t, c)
		})
	}
	if c.Prompt != nil {
		runPrompts(t, c)
	}
}

func starts(t *testing.T, c Case) {
	b := newBench(t, c, "")
	conn := b.mustDial()
	if !strings.HasPrefix(conn.Name, c.Method+".") {
		t.Errorf("the context is called %q", conn.Name)
	}
	if conn.Ready == nil || conn.Ready.Version != "1" {
		t.Errorf("ready is %+v", conn.Ready)
	}
	if c.Direct || b.params[c.Tool] == nil {
		return
	}
	m, _ := methods.Lookup(c.Method)
	argv, err := m.Argv(b.params, []string{"sh"})
	if err != nil {
		t.Fatal(err)
	}
	// Dial may have more to say than the pure function, of which the words are still a subsequence.
	rest := b.recorded()
	for _, word := range argv[1:] {
		i := slices.Index(rest, word)
		if i < 0 {
			t.Fatalf("the tool was given %q, which lacks %q", b.recorded(), word)
		}
		rest = rest[i+1:]
	}
}

func carriesBytes(t *testing.T, c Case) {
	conn := newBench(t, c, "").mustDial()
	sent := make([]byte, 1<<20)
	for i := range sent[:256] {
		sent[i] = byte(i)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for i := 256; i < len(sent); i++ {
		sent[i] = byte(rng.Uint32())
	}
	failed := make(chan error, 1)
	go func() { // ends when all is written, or the Conn is closed
		_, err := conn.Write(sent)
		failed <- err
	}()
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(conn, got); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, sent) {
		t.Error("what came back is not what was sent")
	}
}

func halfCloses(t *testing.T, c Case) {
	conn := newBench(t, c, "").mustDial()
	if _, err := io.WriteString(conn, "last words"); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if string(got) != "last words" {
		t.Errorf("read %q, %v", got, err)
	}
}

func isReaped(t *testing.T, c Case) {
	conn := newBench(t, c, "").mustDial()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	waiting := make(chan string, 1)
	go func() { waiting <- conn.Exited(ctx) }() // ends with the tool
	for range 2 {
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if status := <-waiting; status == "" {
		t.Error("no exit status after Close")
	}
	if _, err := conn.Write([]byte("x")); err == nil {
		t.Error("Write after Close gave no error")
	}
}

func isCancelled(t *testing.T, c Case) {
	// The stub tells that it has been started by a file; then it hangs.
	b := newBench(t, c, "exec sleep 1000")
	cause := errors.New("changed my mind")
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() { // ends when the stub is there
		for b.t.Context().Err() == nil {
			if raw, err := os.ReadFile(b.dir + "/pid"); err == nil && len(raw) > 0 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		cancel(cause)
	}()
	if e := b.failDial(ctx); !errors.Is(e, cause) {
		t.Errorf("the error is %v", e)
	}
}

func isCancelledEarly(t *testing.T, c Case) {
	b := newBench(t, c, "")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if e := b.failDial(ctx); !errors.Is(e, context.Canceled) {
		t.Errorf("the error is %v", e)
	}
}

func neverAnswers(t *testing.T, c Case) {
	b := newBench(t, c, "printf 'Verification code: ' >&2; exec sleep 1000")
	b.params["connect_timeout"] = 0.1
	e := b.failDial(context.Background())
	var timeout *methods.TimeoutError
	if !errors.As(e, &timeout) || timeout.After != 100*time.Millisecond {
		t.Fatalf("the error is %v", e)
	}
	if !strings.HasSuffix(timeout.Words, "Verification code:") {
		t.Errorf("the last words are %q", timeout.Words)
	}
}

func diesBeforeReady(t *testing.T, c Case) {
	b := newBench(t, c, "echo 'no such \x1b[31mthing' >&2; exit 3")
	e := b.failDial(context.Background())
	var eof *methods.EOFError
	if !errors.As(e, &eof) || !strings.Contains(eof.Words, "no such [31mthing") || eof.Status != "exit status 3" {
		t.Errorf("the error is %#v", e.Err)
	}
	if !slices.ContainsFunc(e.Tail, func(s string) bool { return strings.Contains(s, "no such") }) {
		t.Errorf("the tail is %q", e.Tail)
	}
}

func diesSilently(t *testing.T, c Case) {
	e := newBench(t, c, "kill -9 $$").failDial(context.Background())
	var eof *methods.EOFError
	if !errors.As(e, &eof) || !strings.Contains(e.Error(), "signal: killed") {
		t.Errorf("the error is %v", e)
	}
}

// diesLater: the reason of a lost link is what the tool says, not that it ended.
func diesLater(t *testing.T, c Case) {
	b := newBench(t, c, "")
	conn := b.mustDial()
	raw, err := os.ReadFile(b.dir + "/pid")
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err == nil {
		err = syscall.Kill(-pid, syscall.SIGKILL) // the tool leads a process group of its own
	}
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.ReadAll(conn)
	var eof *methods.EOFError
	if !errors.As(err, &eof) || !eof.Late || err.Error() != "connection lost (signal: killed)" {
		t.Errorf("Read gave %v", err)
	}
}

func printsNoise(t *testing.T, c Case) {
	b := newBench(t, c, `i=0; while [ $i -lt 500 ]; do echo "Welcome $i, your password expires soon"; echo "noise $i" >&2; i=$((i+1)); done; printf 'no newline'`)
	conn := b.mustDial()
	if _, err := io.WriteString(conn, "x"); err != nil {
		t.Fatal(err)
	}
	one := make([]byte, 1)
	if _, err := io.ReadFull(conn, one); err != nil || one[0] != 'x' {
		t.Errorf("read %q, %v", one, err)
	}
}

// ignoresTheEnd: a cancelled tool that will not go is made to.
func ignoresTheEnd(t *testing.T, c Case) {
	b := newBench(t, c, `trap '' TERM HUP; while :; do sleep 1000; done`)
	b.params["connect_timeout"] = 0.1
	if e, timeout := b.failDial(context.Background()), (*methods.TimeoutError)(nil); !errors.As(e, &timeout) {
		t.Errorf("the error is %v", e)
	}
}

func isNotThere(t *testing.T, c Case) {
	b := newBench(t, c, "")
	path := b.dir + "/bin/tool"
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if b.params[c.Tool] == nil && c.Stub != nil {
		t.Setenv("PATH", b.dir)
	}
	e := b.failDial(context.Background())
	if e.Stage != "start" || !strings.HasPrefix(e.Error(), "start "+c.Method+": ") {
		t.Errorf("stage %s: %v", e.Stage, e)
	}
}

func refusesUnknown(t *testing.T, c Case) {
	b := newBench(t, c, "")
	b.params["no_such_parameter"] = true
	if e := b.failDial(context.Background()); e.Stage != "check" || !strings.Contains(e.Error(), `unknown parameter "no_such_parameter"`) {
		t.Errorf("stage %s: %v", e.Stage, e)
	}
}

func logsWords(t *testing.T, c Case) {
	fifo := t.TempDir() + "/fifo"
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, c, "(read go <"+methods.Quote(fifo)+"; echo from the tool >&2) </dev/null >/dev/null &")
	b.mustDial()
	if err := os.WriteFile(fifo, []byte("go\n"), 0); err != nil { // waits for the reader
		t.Fatal(err)
	}
	deadline := time.After(patience)
	for {
		select {
		case line := <-b.logged:
			if line == "from the tool" {
				return
			}
		case <-deadline:
			t.Fatal("its words were not logged")
		}
	}
}
