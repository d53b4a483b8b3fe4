package methodtest

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"fakessh/methods"
)

// password is not only letters: it is typed, not quoted.
const password = `right' "pass\word $x`

// asking is shell text that asks like the tool, at most three times, and writes down what it is told.
func (p *Prompt) asking(split int, dir string) string {
	q := methods.Quote
	return `ask() { printf '%s' ` + q(p.Text[:split]) + ` >/dev/tty; sleep 0.02; printf '%s' ` + q(p.Text[split:]) + ` >/dev/tty
IFS= read -r pw </dev/tty || exit 1; echo "$pw" >>` + q(dir+"/answers") + `; echo >/dev/tty; [ "$pw" = ` + q(password) + ` ]; }
again() { printf '%s' ` + q(p.Again) + ` >/dev/tty; ask; }
printf '%s' ` + q(p.Before) + ` >/dev/tty
ask || again || again || exit 1`
}

// runPrompts holds a method that asks to what is promised of prompts.
func runPrompts(t *testing.T, c Case) {
	for _, split := range []int{1, len(c.Prompt.Text) / 2, len(c.Prompt.Text) - 1} {
		t.Run("answers a prompt once, split at "+strconv.Itoa(split), func(t *testing.T) {
			b := newAsker(t, c, split)
			b.params[c.Prompt.Param] = methods.Secret(password)
			b.mustDial()
			b.wantAnswers(password)
			for _, word := range b.recorded() {
				if strings.Contains(word, "right") {
					t.Errorf("the password is an argument: %q", word)
				}
			}
		})
	}
	t.Run("a wrong password is tried once", func(t *testing.T) {
		b := newAsker(t, c, 1)
		b.params[c.Prompt.Param] = methods.Secret("wrong")
		b.wantPasswordError(c.Prompt.Wrong)
		b.wantAnswers("wrong")
	})
	if c.Prompt.Unasked {
		return
	}
	t.Run("a missing password is an error", func(t *testing.T) {
		newAsker(t, c, 1).wantPasswordError(c.Prompt.Missing)
	})
}

func newAsker(t *testing.T, c Case, split int) *bench {
	dir := t.TempDir()
	b := newBench(t, c, c.Prompt.asking(split, dir))
	b.answers = dir + "/answers"
	return b
}

func (b *bench) wantPasswordError(text string) {
	b.t.Helper()
	e := b.failDial(context.Background())
	var wrong *methods.PasswordError
	if !errors.As(e, &wrong) || wrong.Text != text {
		b.t.Errorf("the error is %v, want %q", e, text)
	}
}

func (b *bench) wantAnswers(want string) {
	b.t.Helper()
	raw, err := os.ReadFile(b.answers)
	if err != nil || string(raw) != want+"\n" {
		b.t.Errorf("the tool was told %q, %v", raw, err)
	}
}
