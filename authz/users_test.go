package authz

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

func newKey(t testing.TB) (ssh.PublicKey, string) {
	t.Helper()
	pub, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return key, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

var (
	office = netip.MustParseAddr("10.0.0.7")
	now    = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
)

func TestKeyOptions(t *testing.T) {
	key, line := newKey(t)
	tests := []struct {
		options string
		source  string
		parse   string // the error of the line
		lookup  string // the error of the lookup
	}{
		{"", "192.0.2.1", "", ""},
		{`from="10.0.0.0/8"`, "10.0.0.7", "", ""},
		{`from="10.0.0.0/8"`, "::ffff:10.0.0.7", "", ""},
		{`from="10.0.0.0/8"`, "192.0.2.1", "", "key is not accepted from 192.0.2.1"},
		{`from="10.0.0.0/8,!10.0.0.7"`, "10.0.0.7", "", "not accepted"},
		{`from="!10.0.0.7,10.0.0.*"`, "10.0.0.8", "", ""},
		{`from="2001:db8::1"`, "2001:db8::1", "", ""},
		{`from="*.example.com"`, "10.0.0.7", "host names are not looked up", ""},
		{`from="web1"`, "10.0.0.7", "host names are not looked up", ""},
		{`from=""`, "10.0.0.7", "wants one quoted list", ""},
		{`from="10.0.0.1",from="10.0.0.7"`, "10.0.0.7", "wants one quoted list", ""},
		{`expiry-time="20270101"`, "10.0.0.7", "", ""},
		{`expiry-time="202603021159Z"`, "10.0.0.7", "", "key expired at 2026-03-02T11:59:00Z"},
		{`expiry-time="20260302115959Z"`, "10.0.0.7", "", "key expired"},
		{`expiry-time="soon"`, "10.0.0.7", "is no time", ""},
		{`no-user-rc,pty`, "10.0.0.7", "", ""},
		{`restrict`, "10.0.0.7", `option "restrict" is not supported`, ""},
		{`restrict,pty`, "10.0.0.7", `option "restrict" is not supported`, ""},
		{`command="/bin/true"`, "10.0.0.7", `option "command" is not supported`, ""},
		{`no-pty`, "10.0.0.7", `option "no-pty" is not supported`, ""},
		{`no-port-forwarding`, "10.0.0.7", `option "no-port-forwarding" is not supported`, ""},
		{`permitopen="host:80"`, "10.0.0.7", `option "permitopen" is not supported`, ""},
		{`cert-authority`, "10.0.0.7", `option "cert-authority" is not supported`, ""},
		{`verify-required`, "10.0.0.7", `option "verify-required" is not supported`, ""},
		{`environment="A=b"`, "10.0.0.7", `option "environment" is not supported`, ""},
		{`made-up`, "10.0.0.7", `option "made-up" is not supported`, ""},
		{`RESTRICT`, "10.0.0.7", `option "restrict" is not supported`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.options+" from "+tt.source, func(t *testing.T) {
			text := "# a comment\n\n" + strings.TrimSpace(tt.options+" "+line) + "\n"
			_, errs := ParseAuthorizedKeys("keys", []byte(text))
			if !oneError(errs, "keys:3: ", tt.parse) {
				t.Fatalf("parse: got %v, want %q", errs, tt.parse)
			}
			if tt.parse != "" {
				return
			}
			u, err := NewUsers(map[string]User{"alice": {Keys: []string{strings.TrimSpace(tt.options + " " + line)}, Groups: []string{"ops"}}})
			if err != nil {
				t.Fatal(err)
			}
			subjects, err := u.Lookup(key, netip.MustParseAddr(tt.source), now)
			if tt.lookup == "" {
				if err != nil || len(subjects) != 1 {
					t.Fatalf("lookup: got %+v, %v", subjects, err)
				}
				if subj := subjects[0]; subj.Principal != "alice" || subj.KeyID != ssh.FingerprintSHA256(key) || subj.Groups[0] != "ops" {
					t.Errorf("lookup: got %+v", subj)
				}
			} else if err == nil || !strings.Contains(err.Error(), tt.lookup) || subjects != nil {
				t.Errorf("lookup: got %+v, %v, want %q", subjects, err, tt.lookup)
			}
		})
	}
}

func oneError(errs []error, prefix, want string) bool {
	if want == "" {
		return len(errs) == 0
	}
	return len(errs) == 1 && strings.HasPrefix(errs[0].Error(), prefix) && strings.Contains(errs[0].Error(), want)
}

func TestWeakKeysAreRefused(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(&small.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	_, errs := ParseAuthorizedKeys("keys", ssh.MarshalAuthorizedKey(key))
	if !oneError(errs, "keys:1: ", "RSA key of 1024 bits") {
		t.Error(errs)
	}
}

func TestKeyFileKeepsItsGoodLines(t *testing.T) {
	key, line := newKey(t)
	bad, badLine := newKey(t)
	path := filepath.Join(t.TempDir(), "authorized_keys")
	text := "restrict " + badLine + "\r\n" + line + " alice@home\r\nrubbish\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	u, err := NewUsers(map[string]User{"alice": {Keys: []string{"file:" + path}}})
	if err != nil {
		t.Fatal(err)
	}
	if len(u.Problems()) != 2 {
		t.Errorf("problems: %v", u.Problems())
	}
	if _, err := u.Lookup(key, office, now); err != nil {
		t.Error(err)
	}
	if subj, err := u.Lookup(bad, office, now); err == nil {
		t.Errorf("a restricted key logs in without its restriction: %+v", subj)
	}
}

func TestUsersAreChecked(t *testing.T) {
	_, a := newKey(t)
	_, b := newKey(t)
	dir := t.TempDir()
	loose := filepath.Join(dir, "loose")
	if err := os.WriteFile(loose, []byte(a), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := groupWrites(loose, 0o664); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		users map[string]User
		want  string
	}{
		{"one login name of two users", map[string]User{"al": {LoginNames: []string{"x"}}, "bo": {LoginNames: []string{"x"}}}, `user "bo": login name "x" already means "al"`},
		{"a login name that is a user", map[string]User{"al": {LoginNames: []string{"bo"}}, "bo": {}}, `user "bo": login name "bo" already means "al"`},
		{"one unix account of two users", map[string]User{"al": {Unix: "u"}, "bo": {Unix: "u"}}, `user "bo": unix account "u" already is "al"`},
		{"a name with =", map[string]User{"a=b": {}}, `user "a=b": a name is`},
		{"a dash-led name", map[string]User{"-a": {}}, `user "-a": a name is`},
		{"an inline key that restricts", map[string]User{"al": {Keys: []string{"restrict " + a}}}, `option "restrict" is not supported`},
		{"two keys in one entry", map[string]User{"al": {Keys: []string{a + "\n" + b}}}, `keys[0]: want one key, have 2`},
		{"an empty entry", map[string]User{"al": {Keys: []string{""}}}, `keys[0]: want one key, have 0`},
		{"a missing file", map[string]User{"al": {Keys: []string{"file:" + dir + "/none"}}}, `none: no such file`},
		{"a file that others write", map[string]User{"al": {Keys: []string{"file:" + loose}}}, `writable by others (mode 0664)`},
		{"a directory", map[string]User{"al": {Keys: []string{"file:/"}}}, `not a regular file`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewUsers(tt.users)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestDirectory(t *testing.T) {
	key, line := newKey(t)
	u, err := NewUsers(map[string]User{"alice": {Keys: []string{line, line}, LoginNames: []string{"al"}, Unix: "alice1"}, "bob": {}})
	if err != nil {
		t.Fatal(err)
	}
	d := NewDirectory(u)
	if s, ok := d.ByUnix("alice1"); !ok || s.Principal != "alice" || s.KeyID != "unix:alice1" {
		t.Errorf("ByUnix: %+v %v", s, ok)
	}
	if _, ok := d.ByUnix(""); ok {
		t.Error("an empty account is somebody")
	}
	remote := net.TCPAddrFromAddrPort(netip.AddrPortFrom(office, 4711))
	if s, err := d.Subjects(key, remote); err != nil || len(s) != 1 || s[0].Principal != "alice" {
		t.Errorf("Subjects: %+v", s)
	}
	if names := d.LoginNames("alice"); len(names) != 1 || names[0] != "al" {
		t.Errorf("LoginNames: %q", names)
	}
	empty, err := NewUsers(nil)
	if err != nil {
		t.Fatal(err)
	}
	d.Replace(empty)
	if s, err := d.Subjects(key, remote); err == nil || s != nil {
		t.Errorf("a removed user logs in: %+v", s)
	}
	if s, err := d.Subjects(nil, remote); err == nil || s != nil {
		t.Errorf("no key logs in: %+v", s)
	}
}

// One key may be that of several principals, each under its own restrictions.
func TestKeyOfSeveralPrincipals(t *testing.T) {
	key, line := newKey(t)
	u, err := NewUsers(map[string]User{"alice": {Keys: []string{line}}, "root-alice": {Keys: []string{`from="10.0.0.0/8" ` + line}}})
	if err != nil {
		t.Fatal(err)
	}
	for source, want := range map[string]string{"10.0.0.7": "alice root-alice", "192.0.2.1": "alice"} {
		var names []string
		subjects, err := u.Lookup(key, netip.MustParseAddr(source), now)
		for _, s := range subjects {
			names = append(names, s.Principal)
		}
		if got := strings.Join(names, " "); got != want || err != nil {
			t.Errorf("from %s: %s, %v", source, got, err)
		}
	}
}

func TestKeyBoundToAddressesNeedsOne(t *testing.T) {
	key, line := newKey(t)
	u, err := NewUsers(map[string]User{"alice": {Keys: []string{`from="!192.0.2.1,*.*" ` + line}}})
	if err != nil {
		t.Fatal(err)
	}
	if s, err := NewDirectory(u).Subjects(key, &net.UnixAddr{Name: "@", Net: "unix"}); err == nil || s != nil {
		t.Errorf("got %+v", s)
	}
}

func FuzzParseAuthorizedKeys(f *testing.F) {
	_, line := newKey(f)
	for _, opt := range []string{"", `from="10.*" `, `expiry-time="20270101Z" `, `command="a\"b,c" `, `restrict,,pty `} {
		f.Add([]byte(opt + line + "\n#\n"))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, errs := ParseAuthorizedKeys("keys", text)
		for _, k := range keys {
			again, errs := ParseAuthorizedKeys("again", ssh.MarshalAuthorizedKey(k.Public))
			if len(errs) != 0 || len(again) != 1 {
				t.Fatalf("a key does not survive: %v", errs)
			}
			k.usable(office, now)
		}
		for _, err := range errs {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("an error of two lines: %q", err)
			}
		}
	})
}
