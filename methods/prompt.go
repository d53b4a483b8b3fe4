package methods

import (
	"bytes"
	"strings"
)

// rule is one thing that a tool may print, and what is done about it. A rule with prompt set looks at the
// unfinished last line, the others at whole lines.
type rule struct {
	prompt bool
	match  func(text string) bool

	// A prompt that asks for a secret: the parameter to type, and the texts of the PasswordError when there is
	// none, and when it is asked for again.
	secret, absent, again string

	// Anything else. For a prompt: the text to type (a newline is added), or the error. For a line: the error, or
	// nil to go on. sent says that a secret was typed before.
	act func(v values, text string, sent bool) (string, error)
}

// maxLine bounds what is kept of one line, bytes: its first lineHead, which say what it is about, and the end, which
// may be a prompt.
const (
	maxLine  = 4096
	lineHead = 1024
)

// matcher watches what a tool prints. A prompt counts once, however its bytes arrive: what has been answered is
// forgotten. It is not for concurrent use.
type matcher struct {
	rules []rule
	v     values
	line  func(string) // takes each whole line

	partial []byte // the unfinished line, at most maxLine bytes of it
	sent    bool
}

// feed looks at the next bytes. It returns what is to be typed, or the error that the tool's words mean; p is not kept.
func (m *matcher) feed(p []byte) (reply []byte, err error) {
	for {
		line, rest, whole := bytes.Cut(p, []byte("\n"))
		m.grow(line)
		if !whole {
			break
		}
		p = rest
		if e := m.endLine(); e != nil && err == nil {
			err = e // the lines behind it are still recorded: they belong to the error
		}
	}
	if err != nil {
		return nil, err
	}
	return m.question()
}

func (m *matcher) grow(p []byte) {
	m.partial = append(m.partial, p...)
	if over := len(m.partial) - maxLine; over > 0 {
		m.partial = append(m.partial[:lineHead], m.partial[lineHead+over:]...)
	}
}

func (m *matcher) endLine() error {
	text := m.unfinished()
	m.partial = m.partial[:0]
	m.line(text)
	for _, r := range m.rules {
		if !r.prompt && r.match(text) {
			_, err := r.act(m.v, text, m.sent)
			return err
		}
	}
	return nil
}

// question answers the unfinished line, if it is a prompt.
func (m *matcher) question() ([]byte, error) {
	if len(m.partial) == 0 {
		return nil, nil
	}
	text := m.unfinished()
	for _, r := range m.rules {
		if !r.prompt || !r.match(text) {
			continue
		}
		m.partial = m.partial[:0]
		m.line(text)
		reply, err := m.answer(r, text)
		if err != nil {
			return nil, err
		}
		return append([]byte(reply), '\n'), nil
	}
	return nil, nil
}

func (m *matcher) answer(r rule, text string) (string, error) {
	if r.secret == "" {
		return r.act(m.v, text, m.sent)
	}
	secret, ok := m.v.secret(r.secret)
	switch {
	case !ok:
		return "", &PasswordError{Text: r.absent}
	case m.sent:
		return "", &PasswordError{Text: r.again}
	}
	m.sent = true
	return string(secret), nil
}

// unfinished is the line so far, less the carriage returns around it.
func (m *matcher) unfinished() string { return strings.Trim(string(m.partial), "\r") }

// finish counts the unfinished line as a whole one: nothing follows.
func (m *matcher) finish() error {
	if len(m.partial) == 0 {
		return nil
	}
	return m.endLine()
}

// containsFold says whether text has part, a lower-case text, in any case.
func containsFold(text, part string) bool { return strings.Contains(strings.ToLower(text), part) }

// asks says that text ends as questions do.
func asks(text string) bool {
	text = strings.TrimRight(text, " \t")
	return text != "" && strings.IndexByte(":?>", text[len(text)-1]) >= 0
}
