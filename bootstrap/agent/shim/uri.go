package shim

import (
	"strconv"
	"strings"
)

// destinationParts are the parts of a destination.
type destinationParts struct {
	user, host string
	port       int
}

// parseURI parses ssh://[user@]host[:port][/] as OpenSSH does: an IPv6 address stands in brackets, the user's name and the
// host may have %XX, and a path is not allowed.
func parseURI(s string) (d destinationParts, isURI, ok bool) {
	const scheme = "ssh://"
	if len(s) < len(scheme) || !strings.EqualFold(s[:len(scheme)], scheme) {
		return d, false, false
	}
	s = strings.TrimSuffix(s[len(scheme):], "/")
	if strings.IndexByte(s, '/') >= 0 {
		return d, true, false
	}
	if at := strings.LastIndexByte(s, '@'); at >= 0 {
		user, _, _ := strings.Cut(s[:at], ";") // connection parameters
		if d.user, ok = unescape(user); !ok || d.user == "" {
			return d, true, false
		}
		s = s[at+1:]
	}
	host, port, hasPort, ok := splitHost(s)
	if !ok {
		return d, true, false
	}
	if d.host, ok = unescape(host); !ok || d.host == "" {
		return d, true, false
	}
	if hasPort {
		if d.port, ok = parsePort(port); !ok {
			return d, true, false
		}
	}
	return d, true, true
}

// splitHost splits host[:port] and takes brackets off.
func splitHost(s string) (host, port string, hasPort, ok bool) {
	if strings.HasPrefix(s, "[") {
		host, rest, found := strings.Cut(s[1:], "]")
		if !found || rest != "" && rest[0] != ':' {
			return "", "", false, false
		}
		if rest == "" {
			return host, "", false, true
		}
		return host, rest[1:], true, true
	}
	host, port, hasPort = strings.Cut(s, ":")
	return host, port, hasPort, true
}

// unescape decodes %XX. NUL is refused.
func unescape(s string) (string, bool) {
	if strings.IndexByte(s, '%') < 0 {
		return s, true
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			out = append(out, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil || n == 0 {
			return "", false
		}
		out = append(out, byte(n))
		i += 2
	}
	return string(out), true
}

// parsePort parses a port from 1 to 65535.
func parsePort(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 || s[0] == '+' {
		return 0, false
	}
	return int(n), true
}
