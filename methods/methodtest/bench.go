package methodtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"fakessh/bootstrap"
	"fakessh/methods"
)

// Main lets the test program be an image, for methods that start one directly: TestMain calls it first.
// The agent that it then is echoes its input, as the script of Images does; labelled "facts" it says first who it is, in four lines.
func Main() {
	if len(os.Args) < 2 || os.Args[1] != "agent" {
		return
	}
	cfg, err := bootstrap.ParseAgentArgs(os.Args[2:])
	if errors.Is(err, bootstrap.ErrProbe) {
		os.Exit(0)
	}
	if err != nil {
		os.Exit(2)
	}
	_ = bootstrap.Announce(os.Stdout, "1", nil)
	if cfg.RemoteName == "facts" {
		writeFacts(os.Stdout)
	}
	_, _ = os.Stdout.ReadFrom(os.Stdin)
	syscall.Exit(0) // os.Exit takes a second with the race detector
}

// writeFacts says who the agent is: a line each of uid and gid, groups, working directory, environment.
func writeFacts(w io.Writer) {
	groups, _ := os.Getgroups()
	dir, _ := os.Getwd()
	slices.Sort(groups)
	fmt.Fprintln(w, os.Getuid(), os.Geteuid(), os.Getgid(), os.Getegid())
	fmt.Fprintln(w, groups)
	fmt.Fprintln(w, dir)
	fmt.Fprintln(w, strings.Join(os.Environ(), " "))
}

// Images makes a set of images of one shell script for this platform, that says it is ready and echoes its input.
func Images(t testing.TB) *bootstrap.Images {
	t.Helper()
	var ready bytes.Buffer
	if err := bootstrap.Announce(&ready, "1", nil); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "image")
	script := "#!/bin/sh\n[ \"$2\" = probe ] && exit 0\nprintf '%s' '" + ready.String() + "'\nexec cat\n"
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	images, err := bootstrap.NewImages(nil, "")
	if err == nil {
		err = images.Add(bootstrap.Own(), path)
	}
	if err == nil {
		_, err = images.Lookup(bootstrap.Own()) // opens it, before descriptors are counted
	}
	if err != nil {
		t.Fatal(err)
	}
	return images
}

// bench is one stub tool, and what to dial it with.
type bench struct {
	t      *testing.T
	c      Case
	dir    string
	params methods.Params
	images *bootstrap.Images
	logged chan string

	answers string // the file of what an asking stub was told
}

// newBench makes a stub that first runs the shell text first, and then does what the tool does.
func newBench(t *testing.T, c Case, first string) *bench {
	t.Helper()
	b := &bench{t: t, c: c, dir: t.TempDir(), params: maps.Clone(c.Params), logged: make(chan string, 100)}
	if b.params == nil {
		b.params = methods.Params{}
	}
	t.Setenv("HOME", c.home)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(c.home, "cache"))
	if c.Direct {
		b.images = OwnImages(t)
	} else {
		b.images = Images(t)
		b.install(first)
	}
	leavesNothing(t)
	return b
}

// OwnImages makes a set of images of the running test program, which has to call Main.
func OwnImages(t testing.TB) *bootstrap.Images {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	images, err := bootstrap.NewImages(nil, self)
	if err != nil {
		t.Fatal(err)
	}
	return images
}

// install writes the stub. It answers `-G` (a question that ssh gets) with nothing, and keeps its arguments in the file argv.
func (b *bench) install(first string) {
	handover := b.c.Handover
	if handover == "" {
		handover = Arguments
	}
	script := "#!/bin/sh\n[ \"$1\" = -G ] && exit 1\n" +
		"for a; do printf '%s\\0' \"$a\"; done >" + methods.Quote(filepath.Join(b.dir, "argv")) + "\n" +
		"echo $$ >" + methods.Quote(filepath.Join(b.dir, "pid")) + "\n" +
		first + "\n" + handover + "\n"
	path := filepath.Join(b.dir, "bin", "tool")
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if b.c.Stub != nil {
		b.c.Stub(b.t, b.params, path)
	} else {
		b.params[b.c.Tool] = path
	}
}

// patience bounds every wait of the suite; it is reached only by what fails.
const patience = 20 * time.Second

// dial connects.
func (b *bench) dial(ctx context.Context) (*methods.Conn, error) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return methods.Dial(ctx, methods.Request{
		Spec:   methods.Spec{Method: b.c.Method, Params: b.params},
		Agent:  bootstrap.Config{ID: 7, ParentIDs: []uint32{0}},
		Images: b.images,
		Log: func(line string) {
			select {
			case b.logged <- line:
			default:
			}
		},
	})
}

// mustDial connects, and closes at the end of the test.
func (b *bench) mustDial() *methods.Conn {
	b.t.Helper()
	conn, err := b.dial(context.Background())
	if err != nil {
		var e *methods.Error
		if errors.As(err, &e) {
			b.t.Logf("stage %s, tail:\n%s", e.Stage, strings.Join(e.Tail, "\n"))
		}
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { conn.Close() })
	return conn
}

// failDial wants Dial to fail, within the time that the suite calls a second.
func (b *bench) failDial(ctx context.Context) *methods.Error {
	b.t.Helper()
	begin := time.Now()
	conn, err := b.dial(ctx)
	if err == nil {
		conn.Close()
		b.t.Fatal("Dial gave no error")
	}
	if took := time.Since(begin); took > 3*time.Second {
		b.t.Errorf("Dial took %v to fail", took)
	}
	var e *methods.Error
	if !errors.As(err, &e) {
		b.t.Fatalf("Dial gave a %T: %v", err, err)
	}
	if strings.ContainsAny(err.Error(), "\n\x1b") {
		b.t.Errorf("the error is not one clean line: %q", err)
	}
	return e
}

// recorded are the arguments that the stub was given.
func (b *bench) recorded() []string {
	raw, err := os.ReadFile(filepath.Join(b.dir, "argv"))
	if err != nil {
		b.t.Fatal(err)
	}
	words := strings.Split(string(raw), "\x00")
	return words[:len(words)-1]
}
