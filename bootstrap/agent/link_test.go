package agent

import (
	"errors"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestClosingALinkWakesItsReader(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
	defer ours.Close()
	defer theirs.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	for name, c := range map[string]struct {
		in, out *os.File
	}{"socket": {theirs, theirs}, "pipe": {r, w}} {
		l := &link{}
		if l.in, err = duplicate(c.in); err != nil {
			t.Fatal(err)
		}
		if l.out, err = duplicate(c.out); err != nil {
			t.Fatal(err)
		}
		failed := make(chan error, 1)
		go func() { // ends when the link is closed
			_, err := l.Read(make([]byte, 1))
			failed <- err
		}()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if err := <-failed; !errors.Is(err, os.ErrClosed) && !errors.Is(err, io.EOF) {
			t.Errorf("%s: the read ended with %v", name, err)
		}
	}
}
