package bootstrap

import (
	"errors"
	"io"
	"strconv"
	"strings"
)

// A line of the handshake begins with the marker. The far side sends, in this order:
//
//	hello UNAME-S UNAME-M cached          the agent is being started
//	hello UNAME-S UNAME-M none            no image of the table fits; the far side ends
//	hello UNAME-S UNAME-M need N FORM     send N bytes, FORM is gzip or raw
//	again N FORM                          they could not be stored: send them again, for another place
//	fail TEXT                             the far side ends
//	ready VERSION CAPABILITY,…            the agent's; frames follow. "-" stands for no capabilities
const marker = "FAKESSH1 "

type markerKind int

const (
	noMarker markerKind = iota // a line of something else
	badMarker
	helloCached
	helloNone
	helloNeed
	again
	failed
	announced
)

type message struct {
	kind  markerKind
	uname string // hello
	size  int64  // need, again
	gzip  bool   // need, again
	text  string // fail; ready: version
	caps  []string
}

// parseMarker reads one line, without its line feed. A carriage return at the end is a terminal's.
func parseMarker(line string) message {
	rest, ok := strings.CutPrefix(strings.TrimSuffix(line, "\r"), marker)
	if !ok {
		return message{kind: noMarker, text: line}
	}
	word, rest, _ := strings.Cut(rest, " ")
	switch word {
	case "hello":
		return parseHello(rest)
	case "again":
		return parseWant(message{kind: again}, rest)
	case "fail":
		return message{kind: failed, text: rest}
	case "ready":
		return parseReady(rest)
	}
	return message{kind: badMarker}
}

func parseHello(s string) message {
	words := strings.Split(s, " ")
	if len(words) < 3 {
		return message{kind: badMarker}
	}
	m := message{uname: words[0] + " " + words[1]}
	switch {
	case len(words) == 3 && words[2] == "cached":
		m.kind = helloCached
	case len(words) == 3 && words[2] == "none":
		m.kind = helloNone
	case words[2] == "need":
		m.kind = helloNeed
		return parseWant(m, strings.Join(words[3:], " "))
	default:
		return message{kind: badMarker}
	}
	return m
}

// parseWant adds "N gzip" or "N raw" to m.
func parseWant(m message, s string) message {
	number, form, _ := strings.Cut(s, " ")
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n <= 0 || form != "gzip" && form != "raw" {
		return message{kind: badMarker}
	}
	m.size, m.gzip = n, form == "gzip"
	return m
}

func parseReady(s string) message {
	version, caps, ok := strings.Cut(s, " ")
	if !ok || !plainText(version) || !plainText(caps) {
		return message{kind: badMarker}
	}
	return message{kind: announced, text: version, caps: splitDash(caps)}
}

// plainText reports whether s is one printable ASCII word.
func plainText(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return s != ""
}

// Announce is the agent's last word of the bootstrap and says that frames follow: protocol version and
// capabilities, each one printable ASCII word, capabilities without commas. It is one write.
func Announce(w io.Writer, version string, caps []string) error {
	for _, c := range caps {
		if !plainText(c) || c == "-" || strings.Contains(c, ",") {
			return errors.New("announce: capability " + strconv.Quote(c))
		}
	}
	if !plainText(version) {
		return errors.New("announce: version " + strconv.Quote(version))
	}
	// The line feed in front ends what a tool may have left on the line.
	_, err := io.WriteString(w, "\n"+marker+"ready "+version+" "+orDash(caps)+"\n")
	return err
}
