package authz

import (
	"bytes"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	maxKeyFile = 1 << 20
	minRSABits = 2048
)

// Key is one usable line of an authorized_keys file (sshd(8), AUTHORIZED_KEYS FILE FORMAT) with the options that are enforced.
type Key struct {
	Public  ssh.PublicKey
	Comment string
	Expires time.Time // zero: never
	From    []string  // addresses, ranges and wildcards; empty: from anywhere
	File    string
	Line    int
}

// KeyError is a line that is not usable, and why.
type KeyError struct {
	File string
	Line int
	Err  error
}

func (e *KeyError) Error() string {
	return e.File + ":" + strconv.Itoa(e.Line) + ": " + e.Err.Error()
}

func (e *KeyError) Unwrap() error { return e.Err }

// ParseAuthorizedKeys parses the text of an authorized_keys file. A line is usable only when every restriction it asks
// for is enforced; all others are left out and reported, each as a *KeyError.
func ParseAuthorizedKeys(name string, text []byte) ([]Key, []error) {
	if len(text) > maxKeyFile {
		return nil, []error{&KeyError{File: name, Line: 1, Err: fmt.Errorf("larger than %d bytes", maxKeyFile)}}
	}
	var keys []Key
	var errs []error
	n := 0
	for line := range bytes.Lines(text) {
		n++
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		key, err := parseKey(line)
		if err != nil {
			errs = append(errs, &KeyError{File: name, Line: n, Err: err})
			continue
		}
		key.File, key.Line = name, n
		keys = append(keys, key)
	}
	return keys, errs
}

func parseKey(line []byte) (Key, error) {
	pub, comment, options, _, err := ssh.ParseAuthorizedKey(line)
	if err != nil {
		return Key{}, errors.New("not a public key")
	}
	if err := acceptableKey(pub); err != nil {
		return Key{}, err
	}
	key := Key{Public: pub, Comment: comment}
	for _, opt := range options {
		if err := key.addOption(opt); err != nil {
			return Key{}, err
		}
	}
	return key, nil
}

// acceptableKey refuses what nobody should log in with any more.
func acceptableKey(pub ssh.PublicKey) error {
	if _, ok := pub.(*ssh.Certificate); ok {
		return errors.New("a certificate, not a key")
	}
	if pub.Type() == ssh.InsecureKeyAlgoDSA { //nolint:staticcheck // deprecated, and refused here
		return errors.New("DSA keys are too weak")
	}
	crypto, ok := pub.(ssh.CryptoPublicKey)
	if !ok {
		return nil
	}
	if k, ok := crypto.CryptoPublicKey().(*rsa.PublicKey); ok && k.N.BitLen() < minRSABits {
		return fmt.Errorf("RSA key of %d bits, want %d", k.N.BitLen(), minRSABits)
	}
	return nil
}

// addOption takes one option over. Those that only lift a restriction of "restrict" change nothing where that is refused.
func (k *Key) addOption(opt string) error {
	name, value, hasValue := strings.Cut(opt, "=")
	name = strings.ToLower(name)
	switch name {
	case "pty", "port-forwarding", "agent-forwarding", "x11-forwarding", "user-rc", "no-user-rc":
		if hasValue {
			return fmt.Errorf("option %q takes no value", name)
		}
		return nil
	case "from":
		return k.setFrom(value)
	case "expiry-time":
		return k.setExpiry(value)
	}
	return fmt.Errorf("option %q is not supported", name)
}

func (k *Key) setFrom(value string) error {
	list, err := unquote(value)
	if err != nil || k.From != nil {
		return errors.New(`option "from" wants one quoted list`)
	}
	for p := range strings.SplitSeq(list, ",") {
		if !validSource(strings.TrimPrefix(p, "!")) {
			return fmt.Errorf("option \"from\": %q is no address, range or address wildcard (host names are not looked up)", p)
		}
		k.From = append(k.From, p)
	}
	return nil
}

func validSource(p string) bool {
	if _, err := netip.ParsePrefix(p); err == nil {
		return true
	}
	if _, err := netip.ParseAddr(p); err == nil {
		return true
	}
	return p != "" && strings.ContainsAny(p, "*?") && strings.Trim(p, "0123456789abcdefABCDEF.:*?") == ""
}

// setExpiry parses YYYYMMDD[HHMM[SS]][Z], local time unless it ends in Z.
func (k *Key) setExpiry(value string) error {
	text, err := unquote(value)
	if err != nil || !k.Expires.IsZero() {
		return errors.New(`option "expiry-time" wants one quoted time`)
	}
	loc := time.Local
	if rest, ok := strings.CutSuffix(text, "Z"); ok {
		text, loc = rest, time.UTC
	}
	layouts := map[int]string{8: "20060102", 12: "200601021504", 14: "20060102150405"}
	t, err := time.ParseInLocation(layouts[len(text)], text, loc)
	if err != nil || layouts[len(text)] == "" {
		return fmt.Errorf("option \"expiry-time\": %q is no time", value)
	}
	k.Expires = t
	return nil
}

func unquote(s string) (string, error) {
	if len(s) < 3 || s[0] != '"' || s[len(s)-1] != '"' || strings.Contains(s[1:len(s)-1], `"`) {
		return "", errors.New("not quoted")
	}
	return s[1 : len(s)-1], nil
}

// usable says why the key does not serve now from source; nil when it does.
func (k *Key) usable(source netip.Addr, now time.Time) error {
	if !k.Expires.IsZero() && !now.Before(k.Expires) {
		return fmt.Errorf("key expired at %s", k.Expires.UTC().Format(time.RFC3339))
	}
	if len(k.From) > 0 && !matchSource(k.From, source) {
		return fmt.Errorf("key is not accepted from %s", source)
	}
	return nil
}

// matchSource is ssh_config's pattern list: a negated match refuses whatever else matches.
func matchSource(patterns []string, source netip.Addr) bool {
	source = source.Unmap().WithZone("")
	found := false
	for _, p := range patterns {
		pattern, negated := strings.CutPrefix(p, "!")
		if !matchesAddr(pattern, source) {
			continue
		}
		if negated {
			return false
		}
		found = true
	}
	return found
}

func matchesAddr(pattern string, source netip.Addr) bool {
	if !source.IsValid() {
		return false
	}
	if prefix, err := netip.ParsePrefix(pattern); err == nil {
		return prefix.Contains(source)
	}
	if addr, err := netip.ParseAddr(pattern); err == nil {
		return addr.Unmap() == source
	}
	ok, err := path.Match(strings.ToLower(pattern), source.String())
	return err == nil && ok
}
