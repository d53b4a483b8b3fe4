package bootstrap

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// StageError says how far the bootstrap got and what the far side printed.
type StageError struct {
	Stage    string   // "hello", "upload", "ready": what was being waited for
	Tail     []string // the last lines of the far side, oldest first, as they came: not fit for a terminal
	Platform Platform // "" before the hello
	Cached   bool     // the far side started an image that it had: try once more with Config.Verify
	Err      error    // io.ErrUnexpectedEOF where the stream ended; *NeedImageError; the cause of ctx's end; …
}

// Error is one line fit for a terminal. It ends with the far side's last line, if there is one.
func (e *StageError) Error() string {
	text := "bootstrap: waiting for " + e.Stage
	if e.Platform != "" {
		text += " on " + printable(string(e.Platform))
	}
	text += ": " + e.Err.Error()
	if n := len(e.Tail); n > 0 {
		text += " (last line: " + printable(e.Tail[n-1]) + ")"
	}
	return text
}

// Unwrap returns Err.
func (e *StageError) Unwrap() error { return e.Err }

// NeedImageError says that the far side's platform has no image here.
type NeedImageError struct{ Platform Platform }

func (e *NeedImageError) Error() string { return "no image for " + printable(string(e.Platform)) }

// farError is what the first stage gave as its reason to end.
type farError string

func (e farError) Error() string { return printable(string(e)) }

// printable makes one line of s that moves no cursor, of at most tailWidth bytes or so.
func printable(s string) string {
	if len(s) > tailWidth {
		s = s[:tailWidth] + "…"
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n' || r == '\r':
			return ' '
		case r == utf8.RuneError || !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, s))
}
