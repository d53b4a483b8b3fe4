package proxy

import (
	"errors"
	"fmt"
	"strings"

	gossh "golang.org/x/crypto/ssh"

	"fakessh/bootstrap/agent/session"
)

// The payloads of requests and channel openings. Every parser refuses what is left over, and what no honest client sends.

// maxSize bounds a terminal's columns, rows and pixels: the kernel keeps 16 bits of each.
const maxSize = 0xffff

// Bounds on a pty request.
const (
	maxTerm  = 128
	maxModes = 4096
)

func parsePTY(payload []byte) (*session.PTY, error) {
	var m struct {
		Term                         string
		Columns, Rows, Width, Height uint32
		Modes                        []byte
	}
	if err := gossh.Unmarshal(payload, &m); err != nil {
		return nil, badPayload(reqPTY, err)
	}
	if len(m.Term) > maxTerm || !printable(m.Term) {
		return nil, badPayload(reqPTY, errors.New("terminal type"))
	}
	if len(m.Modes) > maxModes {
		return nil, badPayload(reqPTY, errors.New("too many modes"))
	}
	size := session.Size{Columns: m.Columns, Rows: m.Rows, Width: m.Width, Height: m.Height}
	return &session.PTY{Term: m.Term, Size: clampSize(size), Modes: m.Modes}, nil
}

func parseWindowChange(payload []byte) (session.Size, error) {
	var m struct{ Columns, Rows, Width, Height uint32 }
	if err := gossh.Unmarshal(payload, &m); err != nil {
		return session.Size{}, badPayload(reqWindowChange, err)
	}
	return clampSize(session.Size(m)), nil
}

func clampSize(s session.Size) session.Size {
	return session.Size{
		Columns: min(s.Columns, maxSize), Rows: min(s.Rows, maxSize),
		Width: min(s.Width, maxSize), Height: min(s.Height, maxSize),
	}
}

func parseEnv(payload []byte) (name, value string, err error) {
	var m struct{ Name, Value string }
	if err := gossh.Unmarshal(payload, &m); err != nil {
		return "", "", badPayload(reqEnv, err)
	}
	return m.Name, m.Value, nil
}

// parseText is the payload of exec, subsystem and signal: one string without NUL.
func parseText(request string, payload []byte) (string, error) {
	var m struct{ Text string }
	if err := gossh.Unmarshal(payload, &m); err != nil {
		return "", badPayload(request, err)
	}
	if strings.IndexByte(m.Text, 0) >= 0 {
		return "", badPayload(request, errors.New("zero byte"))
	}
	return m.Text, nil
}

// signals are those a client may send: RFC 4254 section 6.10, with the harmless rest of what terminals and job control send.
var signals = map[string]bool{
	"ABRT": true, "ALRM": true, "FPE": true, "HUP": true, "ILL": true, "INT": true, "KILL": true, "PIPE": true,
	"QUIT": true, "SEGV": true, "TERM": true, "USR1": true, "USR2": true,
	"STOP": true, "TSTP": true, "CONT": true, "WINCH": true, "TTIN": true, "TTOU": true,
}

func parseSignal(payload []byte) (string, error) {
	name, err := parseText(reqSignal, payload)
	if err == nil && !signals[name] {
		err = badPayload(reqSignal, fmt.Errorf("unknown signal %q", name))
	}
	return name, err
}

// parseBreak returns the length of a break in milliseconds (RFC 4335 section 3).
func parseBreak(payload []byte) (uint32, error) {
	var m struct{ Milliseconds uint32 }
	if err := gossh.Unmarshal(payload, &m); err != nil {
		return 0, badPayload(reqBreak, err)
	}
	return m.Milliseconds, nil
}

// directTCPIP is what a client says when it opens a channel to an address (RFC 4254 section 7.2).
type directTCPIP struct {
	Host       string
	Port       uint32
	OriginHost string
	OriginPort uint32
}

func parseDirectTCPIP(payload []byte) (directTCPIP, error) {
	var m directTCPIP
	if err := gossh.Unmarshal(payload, &m); err != nil {
		return m, badPayload(chanDirectTCPIP, err)
	}
	if m.Host == "" || len(m.Host) > maxHost || !printable(m.Host) || m.Port == 0 || m.Port > 65535 {
		return m, badPayload(chanDirectTCPIP, errors.New("no such address"))
	}
	return m, nil
}

// Bounds on addresses, bytes. A target's name with many hops is longer than any host name.
const (
	maxHost = 1024
	maxPath = 4096
)

// parseDirectUnix returns the path of a direct-streamlocal opening.
func parseDirectUnix(payload []byte) (string, error) {
	var m struct {
		Path      string
		Reserved  string
		Reserved2 uint32
	}
	if err := gossh.Unmarshal(payload, &m); err != nil {
		return "", badPayload(chanDirectUnix, err)
	}
	if m.Path == "" || len(m.Path) > maxPath || strings.IndexByte(m.Path, 0) >= 0 {
		return "", badPayload(chanDirectUnix, errors.New("no such path"))
	}
	return m.Path, nil
}

// parseForward is the payload of a request for a listener, or of its end.
func parseForward(request string, payload []byte) (remoteAddr, error) {
	switch request {
	case reqForwardTCPIP, reqCancelForwardTCPIP:
		var m struct {
			Host string
			Port uint32
		}
		if err := gossh.Unmarshal(payload, &m); err != nil {
			return remoteAddr{}, badPayload(request, err)
		}
		if len(m.Host) > maxHost || !printable(m.Host) || m.Port > 65535 || m.Port == 0 && request == reqCancelForwardTCPIP {
			return remoteAddr{}, badPayload(request, errors.New("no such address"))
		}
		return remoteAddr{network: "tcp", name: m.Host, port: m.Port}, nil
	}
	path, err := parseText(request, payload)
	if err == nil && (path == "" || len(path) > maxPath) {
		err = badPayload(request, errors.New("no such path"))
	}
	return remoteAddr{network: "unix", name: path}, err
}

func badPayload(what string, err error) error { return fmt.Errorf("malformed %s: %w", what, err) }

// printable reports whether s is visible ASCII throughout.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
