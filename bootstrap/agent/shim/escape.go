package shim

// escapes finds the escape sequences in what is typed: at the beginning of a line, the escape character and one more.
// The zero value has no escape character but NUL; use newEscapes.
type escapes struct {
	char  int // noEscape: nothing is one
	state escapeState
}

type escapeState int

const (
	lineStart escapeState = iota
	inLine
	afterEscape
)

func newEscapes(char int) *escapes { return &escapes{char: char} }

// filter takes what was typed and returns what goes to the far side, up to the first command, the command ('.', ^Z, '?', or 0 if
// there is none) and what was typed after it. It works in place.
func (e *escapes) filter(typed []byte) (through []byte, command byte, rest []byte) {
	if e.char == noEscape {
		return typed, 0, nil
	}
	out := make([]byte, 0, len(typed)+1)
	for i, c := range typed {
		switch e.state {
		case lineStart:
			if int(c) == e.char {
				e.state = afterEscape
				continue
			}
		case afterEscape:
			e.state = inLine
			switch {
			case c == '.' || c == 'Z'-'@' || c == '?':
				e.state = lineStart
				return out, c, typed[i+1:]
			case int(c) != e.char:
				out = append(out, byte(e.char))
			}
		}
		out = append(out, c)
		if e.state = inLine; c == '\r' || c == '\n' {
			e.state = lineStart
		}
	}
	return out, 0, nil
}

// escapeHelp is what ~? prints.
func escapeHelp(char int) string {
	c := string(rune(char))
	return "Supported escape sequences:\r\n" +
		" " + c + ".   - terminate the connection\r\n" +
		" " + c + "^Z  - suspend ssh\r\n" +
		" " + c + "?   - this message\r\n" +
		" " + c + c + "   - send the escape character by typing it twice\r\n" +
		"(Note that escapes are only recognized immediately after newline.)\r\n"
}
