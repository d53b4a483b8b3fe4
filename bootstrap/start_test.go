package bootstrap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// tiny has an image of nine bytes that no platform can run.
var tiny = must(NewImages(imageFS(map[Platform][]byte{"linux/amd64": []byte("not a elf")}), ""))

// against runs Start against a far side made of Go.
func against(ctx context.Context, im *Images, opt Options, far func(c net.Conn)) (*Ready, error) {
	r, _, err := againstPipe(ctx, im, opt, far)
	return r, err
}

// againstPipe returns the near end as well.
func againstPipe(ctx context.Context, im *Images, opt Options, far func(c net.Conn)) (*Ready, net.Conn, error) {
	near, c := net.Pipe()
	done := make(chan bool)
	go func() {
		defer close(done)
		defer c.Close()
		far(c)
	}()
	r, err := Start(ctx, near, im, Config{}, opt)
	if err != nil {
		near.Close()
		<-done
	}
	return r, near, err
}

// says is a far side that prints text, takes nothing and leaves.
func says(text string) func(net.Conn) {
	return func(c net.Conn) { io.WriteString(c, text) }
}

func stageError(t *testing.T, err error) *StageError {
	t.Helper()
	var e *StageError
	if !errors.As(err, &e) {
		t.Fatalf("error is %T: %v", err, err)
	}
	return e
}

func TestErrorsOfTheHandshake(t *testing.T) {
	img := must(tiny.Lookup("linux/amd64"))
	hello := marker + "hello Linux x86_64 "
	wants := fmt.Sprintf("%sneed %d raw\n", hello, img.Size)
	takes := func(c net.Conn) { io.CopyN(io.Discard, c, img.Size) }
	for _, c := range []struct {
		name  string
		far   func(net.Conn)
		stage string
		text  string
	}{
		{"gone at once", says(""), "hello", "bootstrap: waiting for hello: unexpected EOF"},
		{"last words", says("motd\nsh: not found"), "hello", "bootstrap: waiting for hello: unexpected EOF (last line: sh: not found)"},
		{"no image", says(marker + "hello Plan9 vax none\n"), "ready", "bootstrap: waiting for ready on Plan9/vax: no image for Plan9/vax"},
		{"another image than there is", says(marker + "hello Linux aarch64 need 5 raw\n"), "upload", "bootstrap: waiting for upload on linux/arm64: no image for linux/arm64"},
		{"wrong size", says(hello + "need 10 raw\n"), "upload", "bootstrap: waiting for upload on linux/amd64: asked for 10 bytes, the image has 9"},
		{"cached and gone", says(hello + "cached\nSegmentation fault\n"), "ready", "bootstrap: waiting for ready on linux/amd64: unexpected EOF (last line: Segmentation fault)"},
		{"gone in the upload", says(wants + "Killed\n"), "upload", "bootstrap: waiting for upload on linux/amd64: io: read/write on closed pipe (last line: Killed)"},
		{"failure", func(c net.Conn) {
			says(wants)(c)
			takes(c)
			says(marker + "fail no place\x1b[31m for\tit\r\n")(c)
		}, "ready", "bootstrap: waiting for ready on linux/amd64: no place?[31m for it"},
		{"ready first", says(marker + "ready 1 -\n"), "hello", "bootstrap: waiting for hello: a line of the handshake that does not belong there"},
		{"again first", says(marker + "again 9 raw\n"), "hello", "bootstrap: waiting for hello: a line of the handshake that does not belong there"},
		{"two hellos", says(hello + "cached\n" + hello + "cached\n"), "ready", "bootstrap: waiting for ready on linux/amd64: a line of the handshake that does not belong there"},
		{"again when cached", says(hello + "cached\n" + marker + "again 9 raw\n"), "ready", "bootstrap: waiting for ready on linux/amd64: a line of the handshake that does not belong there"},
		{"unknown line", says(marker + "goodbye\n"), "hello", "bootstrap: waiting for hello: a line of the handshake that does not belong there"},
		{"for ever again", func(c net.Conn) {
			says(wants)(c)
			for takes(c); ; takes(c) {
				if _, err := fmt.Fprintf(c, "%sagain %d raw\n", marker, img.Size); err != nil {
					return
				}
			}
		}, "ready", "bootstrap: waiting for ready on linux/amd64: a line of the handshake that does not belong there"},
		{"noise without end", func(c net.Conn) {
			for {
				if _, err := io.WriteString(c, strings.Repeat("spam", 10)+"\n"); err != nil {
					return
				}
			}
		}, "hello", "bootstrap: waiting for hello: more than 1 MiB of other output (last line: " + strings.Repeat("spam", 10) + ")"},
		{"a line without end", func(c net.Conn) {
			for {
				if _, err := io.WriteString(c, strings.Repeat("spam", 1000)); err != nil {
					return
				}
			}
		}, "hello", "bootstrap: waiting for hello: more than 1 MiB of other output (last line: " + strings.Repeat("spam", tailWidth/4) + ")"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := against(t.Context(), tiny, Options{}, c.far)
			e := stageError(t, err)
			if e.Stage != c.stage || err.Error() != c.text {
				t.Errorf("stage %q, %v\nwant  %q, %s", e.Stage, err, c.stage, c.text)
			}
			if strings.HasPrefix(c.name, "gone at") != errors.Is(err, io.ErrUnexpectedEOF) && e.Err == nil {
				t.Error("no cause")
			}
		})
	}
}

// The reason that the far side gives counts for more than that it has stopped reading.
func TestReasonForStoppingInTheUpload(t *testing.T) {
	big := must(NewImages(imageFS(map[Platform][]byte{"linux/amd64": bytes.Repeat([]byte("x"), 1<<20)}), ""))
	near, far := pair(t)
	defer near.Close()
	go func() {
		defer far.Close()
		io.WriteString(far, marker+"hello Linux x86_64 need 1048576 raw\n"+marker+"fail disk on fire\n")
		io.CopyN(io.Discard, far, 1000)
	}()
	_, err := Start(t.Context(), near, big, Config{}, Options{})
	if e := stageError(t, err); e.Err.Error() != "disk on fire" {
		t.Errorf("%v", err)
	}
}

func TestNoiseIsPassedOnAndItsEndKept(t *testing.T) {
	var text strings.Builder
	for i := range 250 {
		fmt.Fprintf(&text, "line %d\r\n\r\n", i)
	}
	text.WriteString(strings.Repeat("w", 9000) + "\nprompt> ")
	var got []string
	_, err := against(t.Context(), tiny, Options{Noise: func(line string) { got = append(got, line) }}, says(text.String()))
	if len(got) != 252 || got[0] != "line 0" || got[251] != "prompt> " || len(got[250]) != tailWidth {
		t.Errorf("%d lines passed on", len(got))
	}
	if tail := stageError(t, err).Tail; !slices.Equal(tail, got[len(got)-tailLines:]) {
		t.Errorf("tail %q", tail)
	}
}

// What the agent sends with its ready line, or soon after, is the link's.
func TestEarlyFramesAreNotLost(t *testing.T) {
	for _, early := range []string{"", "frames\n" + marker + "fail\n"} {
		r, near, err := againstPipe(t.Context(), tiny, Options{}, func(c net.Conn) {
			says("motd\n" + marker + "hello Linux x86_64 cached\n\nnoise\n")(c)
			Announce(struct{ io.Writer }{prefixed{c, early}}, "7", []string{"a", "b"})
			says("more")(c)
		})
		if err != nil {
			t.Fatal(err)
		}
		if r.Version != "7" || !slices.Equal(r.Caps, []string{"a", "b"}) || !r.Cached {
			t.Errorf("%+v", r)
		}
		if got, err := io.ReadAll(afterReady(r, near)); string(got) != early+"more" || err != nil {
			t.Errorf("read %q, %v", got, err)
		}
	}
}

// prefixed appends tail to what is written, in the same write.
type prefixed struct {
	net.Conn
	tail string
}

func (p prefixed) Write(b []byte) (int, error) {
	_, err := p.Conn.Write(append(slices.Clone(b), p.tail...))
	return len(b), err
}

func TestNothingIsEarlyWhereNothingFollowsReady(t *testing.T) {
	near, far := net.Pipe()
	go io.WriteString(far, marker+"hello Linux x86_64 cached\n"+marker+"ready 1 -\n")
	r, err := Start(t.Context(), near, tiny, Config{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Early != nil || r.Caps != nil {
		t.Errorf("%+v", r)
	}
}

// Without a first stage there is the agent's ready line only.
func TestDirect(t *testing.T) {
	r, err := against(t.Context(), tiny, Options{Direct: true}, says("noise\n"+marker+"ready 1 a\n"))
	if err != nil || r.Platform != Own() || r.Version != "1" || r.Uploaded != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	_, err = against(t.Context(), tiny, Options{Direct: true}, says(marker+"hello Linux x86_64 need 9 raw\n"))
	if e := stageError(t, err); e.Stage != "ready" || e.Cached {
		t.Errorf("%+v", e)
	}
	cfg := Config{ID: 5, ParentIDs: []uint32{0}, RemoteName: "it's"}
	argv := AgentArgv(cfg)
	if got, err := ParseAgentArgs(argv[2:]); argv[1] != "agent" || err != nil || !reflect.DeepEqual(got, cfg) {
		t.Errorf("%q: %+v, %v", argv, got, err)
	}
}

// Start returns when its context is done, whatever the far side does, and says how far it had got.
func TestCancelledStart(t *testing.T) {
	for stage, text := range map[string]string{
		"hello":  "motd\n",
		"upload": "motd\n" + marker + "hello Linux x86_64 need 9 raw\n",
		"ready":  "motd\n" + marker + "hello Linux x86_64 cached\n",
	} {
		t.Run(stage, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cause := errors.New("connect timeout")
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, cause)
				defer cancel()
				hold := make(chan bool)
				near, c := net.Pipe()
				go func() {
					defer c.Close()
					says(text)(c)
					<-hold
				}()
				_, err := Start(ctx, near, tiny, Config{}, Options{})
				if e := stageError(t, err); e.Err != cause || e.Stage != stage || !slices.Equal(e.Tail, []string{"motd"}) {
					t.Errorf("%+v", e)
				}
				near.Close() // ends Start's goroutine; synctest.Test waits for it
				close(hold)
			})
		})
	}
}

// The far side may have stopped reading for ever: the reason given is then the failed write, and soon.
func TestLastWordsAreNotAwaitedForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		defer r.Close()
		go io.WriteString(w, marker+"hello Linux x86_64 need 9 raw\n")
		begin := time.Now()
		_, err := Start(t.Context(), readWriter{r, brokenWriter{}}, tiny, Config{}, Options{})
		if e := stageError(t, err); e.Err != io.ErrClosedPipe || time.Since(begin) != lastWordsTime {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		r.Close()
	})
}

type readWriter struct {
	io.Reader
	io.Writer
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestAnnounceRefusesWhatTheParentCouldNotRead(t *testing.T) {
	for _, c := range []struct {
		version string
		caps    []string
	}{{"", nil}, {"1 2", nil}, {"1\n", nil}, {"1", []string{""}}, {"1", []string{"a,b"}}, {"1", []string{"-"}}, {"1", []string{"a b"}}, {"1", []string{"a\x00"}}} {
		var b bytes.Buffer
		if err := Announce(&b, c.version, c.caps); err == nil || b.Len() > 0 {
			t.Errorf("%q %q: wrote %q, error %v", c.version, c.caps, b.String(), err)
		}
	}
}
