package session

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"fakessh/router"
)

func TestOneLine(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "",
		"plain Ünï — text":             "plain Ünï — text",
		" a\tb \r\n\n c\n":             "a b; c",
		"Traceback:\n\t\n x: 1":        "Traceback: x: 1",
		"\x1b[2J\x1b]0;x\x07owned":     "?[2J?]0;x?owned",
		"\u202egpj.exe\u200b\u0085":    "?gpj.exe??",
		"bad \xff utf":                 "bad ? utf",
		strings.Repeat("ä", 5000):      strings.Repeat("ä", 512) + "…",
		"x" + strings.Repeat("ä", 513): "x" + strings.Repeat("ä", 511) + "…",
	} {
		if got := OneLine(text); got != want {
			t.Errorf("OneLine(%.60q) = %.80q, want %.80q", text, got, want)
		}
	}
}

// What an agent says of a lost child is one line about an id, or nothing.
func FuzzLost(f *testing.F) {
	f.Add(LostRecord(7, errors.New("connection lost (exit status 137)")))
	f.Add("4294967296 x")
	f.Add("7 \x1b[0m\n")
	f.Add("7")
	f.Fuzz(func(t *testing.T, text string) {
		id, reason, ok := ParseLost(text)
		if !ok {
			return
		}
		if reason == "" || len(reason) > maxLine+len("…") || strings.ContainsFunc(reason, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q gives %q", text, reason)
		}
		if again, _, ok := ParseLost(LostRecord(id, errors.New(reason))); !ok || again != id {
			t.Errorf("%d comes back as %d, %v", id, again, ok)
		}
	})
}

func FuzzOneLine(f *testing.F) {
	f.Add("a\nb\x1b[0m\xff")
	f.Fuzz(func(t *testing.T, text string) {
		got := OneLine(text)
		if len(got) > maxLine+len("…") {
			t.Errorf("%d bytes", len(got))
		}
		for _, r := range got {
			if !unicode.IsPrint(r) {
				t.Errorf("%q has %q", got, r)
			}
		}
		if again := OneLine(got); len(got) <= maxLine && again != got {
			t.Errorf("%q becomes %q", got, again)
		}
	})
}

func TestErrorsOfFarSidesAreHarmless(t *testing.T) {
	asks, serves := connected(t)
	if err := serves.SendError(errors.New("\x1b[31mred\nline")); err != nil {
		t.Fatal(err)
	}
	if m, err := asks.Next(); err != nil || m.Err().Error() != "?[31mred; line" || string(m.Data) != "?[31mred; line" {
		t.Errorf("%q, %v", m.Data, err)
	}
	// An end that does not speak by SendError is not believed either.
	if err := serves.Send(InvokeError, []byte("\x1b]0;title\x07")); err != nil {
		t.Fatal(err)
	}
	if m, err := asks.Next(); err != nil || m.Err().Error() != "?]0;title?" {
		t.Errorf("%q, %v", m.Data, err)
	}
}

func TestErrorLine(t *testing.T) {
	call := &router.CallError{Type: "fakessh.StageError", Text: "gone\nfor good"}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{errors.New("a\nb"), "a; b"},
		{call, "gone; for good"},
		{fmt.Errorf("send image: %w", call), "send image: gone; for good"},
		{&router.CallError{Type: "x.Y"}, "x.Y:"},
	} {
		if got := ErrorLine(tt.err); got != tt.want {
			t.Errorf("of %q it makes %q, want %q", tt.err, got, tt.want)
		}
	}
}
