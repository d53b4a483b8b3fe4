package methods

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"fakessh/bootstrap"
)

// A tool that wants a terminal for everything, as su does: prompts come down the link, and so does the agent.
func terminalAttempt(t *testing.T, script string, v values) *attempt {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tool")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\nexec \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	m := &Method{
		Name:  "terminal",
		stdio: terminal,
		rules: []rule{{
			prompt: true,
			match:  func(text string) bool { return containsFold(text, "password:") },
			secret: "password",
			absent: "password is required",
			again:  "password is incorrect",
		}},
		argv: func(_ values, boot []string) ([]string, error) { return append([]string{path}, boot...), nil },
	}
	return &attempt{m: m, v: v, cfg: bootstrap.Config{ID: 7, ParentIDs: []uint32{0}}, images: echoImage(t), log: func(string) {}}
}

// echoImage is a script that announces itself and echoes.
func echoImage(t *testing.T) *bootstrap.Images {
	t.Helper()
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
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
	if err != nil {
		t.Fatal(err)
	}
	return images
}

const asking = `printf 'Pass'; sleep 0.02; printf 'word: '; read -r pw; echo
[ "$pw" = right ] || { sleep 0.02; echo "su: Authentication failure"; printf 'Password: '; read -r pw; exit 1; }`

func TestTerminalCarriesBytes(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	conn, err := terminalAttempt(t, asking, values{"password": Secret("right")}).connect(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sent := make([]byte, 100_000)
	for i := range sent {
		sent[i] = byte(i)
	}
	go conn.Write(sent) // ends when it is all written, or with the Conn
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("what came back is not what was sent: %v", err)
	}
	if !errors.Is(conn.CloseWrite(), errors.ErrUnsupported) {
		t.Error("a terminal has a half to close")
	}
	begin := time.Now()
	if err := conn.Close(); err != nil || time.Since(begin) > time.Second {
		t.Errorf("Close took %v, %v", time.Since(begin), err)
	}
	if _, err := conn.Read(got); err == nil {
		t.Error("Read after Close gave no error")
	}
}

func TestTerminalPasswords(t *testing.T) {
	for want, v := range map[string]values{
		"password is required":  {},
		"password is incorrect": {"password": Secret("wrong")},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		_, err := terminalAttempt(t, asking, v).connect(ctx)
		if err == nil || err.Error() != want {
			t.Errorf("the error is %v, want %q", err, want)
		}
		cancel()
	}
}

func TestTerminalEnds(t *testing.T) {
	_, err := terminalAttempt(t, "echo su: no such account; exit 1", values{}).connect(context.Background())
	var eof *EOFError
	if !errors.As(err, &eof) || eof.Words != "su: no such account" || eof.Status != "exit status 1" {
		t.Errorf("the error is %v", err)
	}
}
