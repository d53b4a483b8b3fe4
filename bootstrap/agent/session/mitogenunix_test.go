package session

import (
	"encoding/hex"
	"errors"
	"io"
	"os"
	"testing"
)

// What the two ends of Mitogen 0.3.52 said: pid 4242; client 2, listener 0, pid 30591.
const (
	mitogenHello   = "00001092"
	mitogenWelcome = "00000002000000000000777f"
)

func TestMitogenUnixHandshake(t *testing.T) {
	a, b := connected(t)
	hello, err := hex.DecodeString(mitogenHello)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.conn.Write(append(hello, "frames"...)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Request(); !errors.Is(err, ErrMitogenUnix) {
		t.Fatal(err)
	}
	if pid, err := b.MitogenPID(); pid != 4242 || err != nil {
		t.Errorf("pid %d, %v", pid, err)
	}
	rest := make([]byte, 6)
	if _, err := io.ReadFull(b.conn, rest); err != nil || string(rest) != "frames" {
		t.Errorf("left is %q, %v", rest, err)
	}
	if err := b.MitogenWelcome(2, 0); err != nil {
		t.Fatal(err)
	}
	want, err := hex.DecodeString(mitogenWelcome)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(a.conn, got); err != nil {
		t.Fatal(err)
	}
	pid := os.Getpid()
	want = append(want[:8], byte(pid>>24), byte(pid>>16), byte(pid>>8), byte(pid))
	if string(got) != string(want) {
		t.Errorf("welcome %x, want %x", got, want)
	}
}

func TestCutMitogenUnixHandshake(t *testing.T) {
	a, b := connected(t)
	if _, err := a.conn.Write([]byte{0, 0}); err != nil {
		t.Fatal(err)
	}
	a.conn.CloseWrite()
	if _, _, err := b.Request(); !errors.Is(err, ErrMitogenUnix) {
		t.Fatal(err)
	}
	if _, err := b.MitogenPID(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
}

func TestMitogenUnixIsToldFromTheRest(t *testing.T) {
	for first, want := range map[string]bool{"\x00": true, "Q": false, "": false} {
		a, b := connected(t)
		io.WriteString(a.conn, first)
		a.conn.CloseWrite()
		if b.SpeaksMitogen() != want {
			t.Errorf("%q", first)
		}
	}
}
