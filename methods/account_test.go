package methods

import (
	"slices"
	"strings"
	"testing"
)

const passwdText = `root:x:0:0:root:/root:/bin/bash
broken line
toor:x:0:0::/root:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
plain:x:1000:1001:,,,::
bad:x:-1:0::/:/bin/sh
`

func TestAccountOf(t *testing.T) {
	for _, tc := range []struct {
		uid       int
		preferred string
		want      Account
		ok        bool
	}{
		{0, "", Account{"root", 0, 0, "/root", "/bin/bash"}, true},
		{0, "toor", Account{"toor", 0, 0, "/root", "/bin/sh"}, true},
		{0, "nobody", Account{"root", 0, 0, "/root", "/bin/bash"}, true},
		{1000, "", Account{"plain", 1000, 1001, "/", "/bin/sh"}, true},
		{7, "root", Account{}, false},
	} {
		got, ok := accountOf(strings.NewReader(passwdText), tc.uid, tc.preferred)
		if got != tc.want || ok != tc.ok {
			t.Errorf("accountOf(%d, %q) = %+v, %v; want %+v, %v", tc.uid, tc.preferred, got, ok, tc.want, tc.ok)
		}
	}
}

func TestBSDLine(t *testing.T) {
	line := bsdLine("ann:********:501:20::0:0:Ann:/Users/ann:/bin/zsh\n")
	a, ok := ParseAccount(line)
	if want := (Account{"ann", 501, 20, "/Users/ann", "/bin/zsh"}); !ok || a != want {
		t.Errorf("got %+v, %v; want %+v", a, ok, want)
	}
}

func FuzzParseAccount(f *testing.F) {
	for line := range strings.Lines(passwdText) {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		a, ok := ParseAccount(line)
		if ok && (a.Name == "" || a.Home == "" || a.Shell == "" || a.UID < 0 || a.GID < 0) {
			t.Errorf("%q gives %+v", line, a)
		}
	})
}

func TestGroups(t *testing.T) {
	const groups = "root:x:0:\nadm:x:4:ann,bob\nbroken\nstaff:x:50:bobby,ann\nbad:x:z:ann\nown:x:1000:\n"
	if got := appendIDs([]uint32{1000}, memberships(strings.NewReader(groups), "ann")); !slices.Equal(got, []uint32{1000, 4, 50}) {
		t.Errorf("got %v", got)
	}
	if got := appendIDs([]uint32{4}, "7 4 x 7 8\n"); !slices.Equal(got, []uint32{4, 7, 8}) {
		t.Errorf("got %v", got)
	}
}
