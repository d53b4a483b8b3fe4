package shim

import (
	"net"
	"strconv"
	"strings"
)

// endpoint is where to listen, or where to connect: a host and a port, or a path.
type endpoint struct {
	host string
	port int
	path string // of a unix socket; then host and port are empty
}

// network and address are what net.Listen and the far side's dialler take.
func (e endpoint) network() string {
	if e.path != "" {
		return "unix"
	}
	return "tcp"
}

func (e endpoint) address() string {
	if e.path != "" {
		return e.path
	}
	return net.JoinHostPort(e.host, strconv.Itoa(e.port))
}

// forward is a parsed -L, -D or -W.
type forward struct{ listen, connect endpoint }

// parseForward parses [bind_address:]port:host:hostport, with a path in place of either pair.
func parseForward(s string) (f forward, ok bool) {
	parts, ok := splitColons(s)
	if !ok || len(parts) < 2 {
		return f, false
	}
	listen := 1 // how many parts say where to listen
	if !isPath(parts[0]) && (len(parts) == 4 || len(parts) == 3 && isPath(parts[2])) {
		listen = 2
	}
	if f.listen, ok = parseEndpoint(parts[:listen], true); !ok {
		return f, false
	}
	f.connect, ok = parseEndpoint(parts[listen:], false)
	return f, ok
}

// parseListen parses [bind_address:]port.
func parseListen(s string) (f forward, ok bool) {
	parts, ok := splitColons(s)
	if !ok {
		return f, false
	}
	f.listen, ok = parseEndpoint(parts, true)
	return f, ok && f.listen.path == ""
}

// parseTarget parses host:port.
func parseTarget(s string) (f forward, ok bool) {
	parts, ok := splitColons(s)
	if !ok {
		return f, false
	}
	f.connect, ok = parseEndpoint(parts, false)
	return f, ok && f.connect.path == ""
}

// parseEndpoint takes a path, host and port, or where listen is set a port alone.
func parseEndpoint(parts []string, listen bool) (e endpoint, ok bool) {
	switch {
	case len(parts) == 1 && isPath(parts[0]):
		return endpoint{path: parts[0]}, true
	case len(parts) == 1 && listen:
		e.host = "localhost"
	case len(parts) == 2:
		if e.host = parts[0]; listen && (e.host == "" || e.host == "*") {
			e.host = "::"
		}
		parts = parts[1:]
	default:
		return e, false
	}
	if listen && parts[0] == "0" {
		return e, true
	}
	e.port, ok = parsePort(parts[0])
	return e, ok && e.host != ""
}

func isPath(s string) bool { return strings.HasPrefix(s, "/") }

// splitColons splits at colons; brackets hold an IPv6 address together.
func splitColons(s string) (parts []string, ok bool) {
	for {
		if strings.HasPrefix(s, "[") {
			part, rest, found := strings.Cut(s[1:], "]")
			if !found || rest != "" && rest[0] != ':' {
				return nil, false
			}
			parts = append(parts, part)
			if rest == "" {
				return parts, true
			}
			s = rest[1:]
			continue
		}
		part, rest, found := strings.Cut(s, ":")
		parts = append(parts, part)
		if !found {
			return parts, true
		}
		s = rest
	}
}
