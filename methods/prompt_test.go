package methods

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// hear feeds a matcher piece by piece. It returns all that was typed, and the first error.
func hear(m *matcher, pieces ...string) (typed []string, err error) {
	for _, piece := range pieces {
		reply, err := m.feed([]byte(piece))
		if err != nil {
			return typed, err
		}
		if reply != nil {
			typed = append(typed, string(reply))
		}
	}
	return typed, m.finish()
}

func TestPrompts(t *testing.T) {
	hush := values{"password": Secret("hush")}
	for _, c := range []struct {
		name   string
		rules  []rule
		v      values
		pieces []string
		typed  []string
		err    string
	}{
		{name: "password", rules: sshRules, v: hush, pieces: []string{"ta@h's password: "}, typed: []string{"hush\n"}},
		{name: "keyboard-interactive", rules: sshRules, v: hush, pieces: []string{"(ta@h) Password: "}, typed: []string{"hush\n"}},
		{name: "in two pieces", rules: sshRules, v: hush, pieces: []string{"ta@h's pass", "word:", " "}, typed: []string{"hush\n"}},
		{name: "byte by byte", rules: sshRules, v: hush, pieces: strings.Split("(ta@h) Password: ", ""), typed: []string{"hush\n"}},
		{name: "twice", rules: sshRules, v: hush, pieces: []string{"Password: ", "\n", "Password: "}, typed: []string{"hush\n"}, err: "SSH password is incorrect"},
		{name: "try again", rules: sshRules, v: hush, pieces: []string{"Password: ", "\nPermission denied, please try again.\n"}, typed: []string{"hush\n"}, err: "SSH password is incorrect: Permission denied, please try again"},
		{name: "denied with a name", rules: sshRules, v: values{}, pieces: []string{"ta@h: Permission denied (publickey).\r\n"}, err: "SSH authentication is incorrect: Permission denied (publickey)"},
		{name: "denied for want of a password", rules: sshRules, v: values{}, pieces: []string{"ta@h: permission denied (publickey,password)."}, err: "SSH password was requested, but none specified: permission denied (publickey,password)"},
		{name: "denied to somebody else", rules: sshRules, v: hush, pieces: []string{"cat: x: Permission denied\n", "sh: Permission denied: x\n"}},
		{name: "no password", rules: sshRules, v: values{}, pieces: []string{"ta@h's password: "}, err: "SSH password was requested, but none specified"},
		{name: "speaking of passwords", rules: sshRules, v: values{}, pieces: []string{"Your password will", " expire soon.\n"}},
		{name: "passphrases", rules: sshRules, v: values{}, pieces: []string{"Enter passphrase for key '/k': ", "Enter passphrase for key '/l': "}, typed: []string{"\n", "\n"}},
		{name: "accept", rules: sshRules, v: values{"check_host_keys": "accept"},
			pieces: []string{"The authenticity …\nAre you sure you want to continue connecting (yes/no/[fing", "erprint])? "}, typed: []string{"yes\n"}},
		{name: "accept, old", rules: sshRules, v: values{"check_host_keys": "accept"}, pieces: []string{"Are you sure you want to continue connecting (yes/no)? "}, typed: []string{"yes\n"}},
		{name: "asked in vain", rules: sshRules, v: values{"check_host_keys": "ignore"}, pieces: []string{"Are you sure you want to continue connecting (yes/no)? "},
			err: (&HostKeyError{Reason: "refused"}).Error()},
		{name: "sudo", rules: sudoRules, v: hush, pieces: []string{"mitogen-sudo-prompt:"}, typed: []string{"hush\n"}},
		{name: "sudo echoes stars", rules: sudoRules, v: hush, pieces: []string{"mitogen-sudo-prompt:", "****", "\r\n"}, typed: []string{"hush\n"}},
		{name: "sudo-rs", rules: sudoRules, v: hush, pieces: []string{"[sudo: mitogen-sudo-prompt:] Mot de passe : "}, typed: []string{"hush\n"}},
		{name: "sudo-rs echoes", rules: sudoRules, v: hush, pieces: []string{"[sudo: mitogen-sudo-prompt:] Password: *"}},
		{name: "sudo tells only", rules: sudoRules, v: values{}, pieces: []string{"sudo: a password is required\n"}, err: "sudo password is required"},
		{name: "sudo gives up", rules: sudoRules, v: hush, pieces: []string{"mitogen-sudo-prompt:", "\n", "sudo: 1 incorrect password attempt\n"}, typed: []string{"hush\n"}, err: "sudo password is incorrect"},
	} {
		t.Run(c.name, func(t *testing.T) {
			typed, err := hear(&matcher{rules: c.rules, v: c.v, line: func(string) {}}, c.pieces...)
			if err == nil {
				err = errors.New("")
			}
			if !slices.Equal(typed, c.typed) || err.Error() != c.err {
				t.Errorf("typed %q, error %q; want %q, %q", typed, err, c.typed, c.err)
			}
		})
	}
}

// However long a line is, its end can be a prompt, and little of it is kept: that, and how it began.
func TestPromptAfterALongLine(t *testing.T) {
	var line string
	m := &matcher{rules: sshRules, v: values{"password": Secret("hush")}, line: func(s string) { line = s }}
	for range 100 {
		if reply, err := m.feed(make([]byte, 10000)); reply != nil || err != nil {
			t.Fatal(reply, err)
		}
	}
	if len(m.partial) > maxLine || cap(m.partial) > 8*maxLine {
		t.Errorf("%d bytes are kept, room for %d", len(m.partial), cap(m.partial))
	}
	if reply, err := m.feed([]byte("password: ")); string(reply) != "hush\n" || err != nil {
		t.Error(reply, err)
	}
	long := strings.Repeat("x", 10*maxLine)
	if _, err := hear(m, "\nfirst "+long[:5], long, "last\n"); err != nil || !strings.HasPrefix(line, "first x") || !strings.HasSuffix(line, "xlast") || len(line) != maxLine {
		t.Errorf("%d bytes are kept of a line: %.10q…", len(line), line)
	}
}

// Lines reach the tail whole, once, in order, and without what only terminals want.
func TestMatcherLines(t *testing.T) {
	var lines []string
	m := &matcher{line: func(s string) { lines = append(lines, s) }}
	if _, err := hear(m, "on", "e\r\n\ntwo\nth", "ree"); err != nil {
		t.Fatal(err)
	}
	if want := []string{"one", "", "two", "three"}; !slices.Equal(lines, want) {
		t.Errorf("lines are %q, want %q", lines, want)
	}
}

// Whatever is printed, and in whatever pieces: a secret is typed once at most, the memory is bounded, and the lines come out the same.
func FuzzPrompts(f *testing.F) {
	for _, s := range []string{"ta@h's password: ", "Password: \nPassword: ", "mitogen-sudo-prompt:", "[sudo: mitogen-sudo-prompt:] Password: *\n",
		"ta@h: Permission denied (publickey,password).\r\n", "Are you sure you want to continue connecting (yes/no/[fingerprint])? ",
		"Enter passphrase for key '/k': ", "\r\r\n\x00\xff"} {
		f.Add([]byte(s), 1, true)
		f.Add([]byte(s), len(s)/2, false)
	}
	f.Fuzz(func(t *testing.T, text []byte, split int, sudo bool) {
		rules := sshRules
		if sudo {
			rules = sudoRules
		}
		split = min(max(split, 0), len(text))
		m := &matcher{rules: rules, v: values{"password": Secret("S3CRET"), "check_host_keys": "accept"}, line: func(string) {}}
		typed, _ := hear(m, string(text[:split]), string(text[split:]))
		secrets := 0
		for _, s := range typed {
			if !strings.HasSuffix(s, "\n") {
				t.Errorf("%q is no line", s)
			}
			if s == "S3CRET\n" {
				secrets++
			}
		}
		if secrets > 1 || len(m.partial) > maxLine {
			t.Errorf("typed %q, %d bytes kept", typed, len(m.partial))
		}
		if whole, pieces := linesOf(text, len(text)), linesOf(text, split); !slices.Equal(whole, pieces) {
			t.Errorf("lines are %q, in pieces %q", whole, pieces)
		}
	})
}

func linesOf(text []byte, split int) (lines []string) {
	m := &matcher{line: func(s string) { lines = append(lines, s) }}
	_, _ = hear(m, string(text[:split]), string(text[split:]))
	return lines
}
