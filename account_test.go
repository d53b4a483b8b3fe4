package fakessh

import (
	"strings"
	"testing"
)

func TestCheckAccount(t *testing.T) {
	for _, account := range []string{"root", "deploy", "_apt", "www-data", "systemd-network", "a.b_c-9", "Postgres", "host$", `CORP\bob`, `corp.example\svc$`, strings.Repeat("x", 64)} {
		if err := CheckAccount(account); err != nil {
			t.Errorf("%q: %v", account, err)
		}
	}
	for _, account := range []string{
		"", "#0", "#-1", "0", "1000", "0day", "-x", "-", ".", "..", ".hidden", "+admin", "%wheel", "=x", "!x", "a b", "a,b", "a/b", "a:b", "root:0", "joe@corp.org",
		"root\n", "\x00", "\x1b[2J", "a\x7f", "é", "$", "a$b", "a$$", "$(id)", "`id`", "a;b", "'", `\`, `\bob`, `CORP\`, `CORP\#0`, `A\B\c`, `1\root`, strings.Repeat("x", 65),
	} {
		if CheckAccount(account) == nil {
			t.Errorf("%q is an account", account)
		}
	}
}

// Every place where an account is typed refuses the same.
func TestParseDestChecksTheAccount(t *testing.T) {
	for _, s := range []string{"#0@web1", "0@web1", "-x@web1", "a@b@web1", "@web1"} {
		if d, err := ParseDest(s); err == nil {
			t.Errorf("%q is %+v", s, d)
		}
	}
	if d, err := ParseDest(`CORP\bob@web1+docker.app`); err != nil || d.Account != `CORP\bob` || d.Target.String() != "web1+docker.app" {
		t.Errorf("got %+v, %v", d, err)
	}
}
