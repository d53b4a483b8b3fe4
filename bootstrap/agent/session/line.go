package session

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"fakessh/router"
)

// maxLine bounds what people are told in one line, bytes.
const maxLine = 1024

// OneLine makes a text that may come from a hostile place fit for one line of a terminal or a log: printable, of bounded length, its
// lines joined by "; ". What comes from the far side of a link or a socket goes through it once, where it comes in or where it is shown.
func OneLine(text string) string {
	if len(text) > 2*maxLine {
		text = text[:2*maxLine]
	}
	text = join(strings.FieldsFunc(strings.ToValidUTF8(text, "?"), func(r rune) bool { return r == '\n' || r == '\r' }))
	if len(text) <= maxLine {
		return text
	}
	cut := maxLine
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

// ErrorLine is err as a person reads it, in one line: an exception of the far side without its type, which tells a person nothing.
func ErrorLine(err error) string {
	text := err.Error()
	var call *router.CallError
	if errors.As(err, &call) && call.Text != "" {
		text = strings.Replace(text, call.Error(), call.Text, 1)
	}
	return OneLine(text)
}

// join joins the lines that are not blank by "; ", after a colon by a blank.
func join(lines []string) (text string) {
	for _, line := range lines {
		line = strings.TrimSpace(strings.Map(printable, line))
		switch {
		case line == "":
			continue
		case strings.HasSuffix(text, ":"):
			text += " "
		case text != "":
			text += "; "
		}
		text += line
	}
	return text
}

func printable(r rune) rune {
	switch {
	case r == '\t':
		return ' '
	case !unicode.IsPrint(r):
		return '?'
	}
	return r
}
