package proxy

import (
	"strings"
	"testing"

	"fakessh"
)

func TestParseLogin(t *testing.T) {
	tests := []struct {
		user string
		want login
	}{
		{"web1", login{Target: "web1"}},
		{"root@web1", login{Account: "root", Target: "web1"}},
		{"alice=root@web1", login{Principal: "alice", Account: "root", Target: "web1"}},
		{"alice=web1+docker.app", login{Principal: "alice", Target: "web1+docker.app"}},
		{"alice=", login{Principal: "alice"}},
		{"a@b.org=root@web1", login{Principal: "a@b.org", Account: "root", Target: "web1"}},
		{"a@b.org=web1", login{Principal: "a@b.org", Target: "web1"}},
		{`CORP\bob@web1`, login{Account: `CORP\bob`, Target: "web1"}},
		{"", login{}},
	}
	for _, tt := range tests {
		if got, err := parseLogin(tt.user); err != nil || got != tt.want {
			t.Errorf("parseLogin(%q) = %+v, %v; want %+v", tt.user, got, err, tt.want)
		}
	}
	for _, user := range []string{
		"@web1", "=web1", "-oProxyCommand@web1", "a b@web1", "a/b@web1", "a\x00@web1", "#0@web1", "0@web1", "alice=#0@web1",
		"joe@corp.org@web1", strings.Repeat("x", 2000),
	} {
		if got, err := parseLogin(user); err == nil {
			t.Errorf("parseLogin(%q) = %+v, want an error", user, got)
		}
	}
}

func FuzzParseLogin(f *testing.F) {
	for _, s := range []string{"web1", "root@web1", "alice=root@web1", "a@b=c@d", "=", "@", "a=@b", "-x@y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, user string) {
		l, err := parseLogin(user)
		if err != nil {
			if l != (login{}) {
				t.Fatalf("parseLogin(%q) = %+v with an error", user, l)
			}
			return
		}
		if l.String() != user {
			t.Fatalf("parseLogin(%q).String() = %q", user, l.String())
		}
		if l.Account != "" && fakessh.CheckAccount(l.Account) != nil || strings.ContainsAny(l.Target, "@=") {
			t.Fatalf("parseLogin(%q) = %+v", user, l)
		}
	})
}
