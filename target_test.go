package fakessh

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestParseTarget(t *testing.T) {
	tests := []struct {
		in   string
		want string // its parts, or the error
	}{
		{"web1", "{web1 []}"},
		{"web1.example.com", "{web1.example.com []}"},
		{"web1+sudo", "{web1 [{sudo }]}"},
		{"web1+docker.app+su.postgres", "{web1 [{docker app} {su postgres}]}"},
		{"local+lxc.db", "{local [{lxc db}]}"},
		{"web1+docker.My_App-1.x", "{web1 [{docker My_App-1.x}]}"},
		{"web1+docker..app", "{web1 [{docker .app}]}"},
		{"1web", "{1web []}"},
		{"", `target "": no name`},
		{"+sudo", `target "+sudo": no name`},
		{"Web1", `target "Web1": a name is lower-case letters, digits and ._-`},
		{"-web", `target "-web": a name begins with a letter or a digit`},
		{".web", `target ".web": a name begins with a letter or a digit`},
		{"we b", `target "we b": a name is lower-case letters, digits and ._-`},
		{"wéb", `target "wéb": a name is lower-case letters, digits and ._-`},
		{"web1+", `target "web1+": a hop begins with the name of a method, in lower case`},
		{"web1++sudo", `target "web1++sudo": a hop begins with the name of a method, in lower case`},
		{"web1+Sudo", `target "web1+Sudo": "Sudo": a hop begins with the name of a method, in lower case`},
		{"web1+.x", `target "web1+.x": ".x": a hop begins with the name of a method, in lower case`},
		{"web1+docker.", `target "web1+docker.": "docker.": no argument after the dot`},
		{"web1+docker.-rm", `target "web1+docker.-rm": "docker.-rm": an argument does not begin with a dash`},
		{"web1+docker.a/b", `target "web1+docker.a/b": "docker.a/b": an argument is letters, digits and ._-`},
		{"web1+docker.a@b", `target "web1+docker.a@b": "docker.a@b": an argument is letters, digits and ._-`},
		{"web1\n", `target "web1\n": a name is lower-case letters, digits and ._-`},
		{"a" + strings.Repeat("+sudo", 17), `target "a` + strings.Repeat("+sudo", 17) + `": more than 16 hops`},
		{strings.Repeat("a", 129), `target "` + strings.Repeat("a", 129) + `": longer than 128 bytes`},
		{"a+docker." + strings.Repeat("b", 129), "longer than 128 bytes"},
		{strings.Repeat("a", 256), "longer than 255 bytes"},
	}
	for _, tt := range tests {
		got, err := ParseTarget(tt.in)
		if err != nil {
			var te *TargetError
			if !errors.As(err, &te) || !strings.HasSuffix(err.Error(), tt.want) {
				t.Errorf("%q: %v, want %s", tt.in, err, tt.want)
			}
			continue
		}
		if parts(got) != tt.want || got.String() != tt.in {
			t.Errorf("%q: %s (%s), want %s", tt.in, parts(got), got, tt.want)
		}
	}
}

func parts(t Target) string {
	type hop Hop
	hops := make([]hop, len(t.Hops))
	for i, h := range t.Hops {
		hops[i] = hop(h)
	}
	return fmt.Sprintf("{%s %v}", t.Name, hops)
}

func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"web1", "web1+docker.app+su.postgres", "a+", "+", "a+b.", "A", "a+B.c", "a+b.-", "a\x00", "ä+b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		target, err := ParseTarget(s)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("an error of two lines: %q", err)
			}
			return
		}
		if target.String() != s {
			t.Fatalf("%q becomes %q", s, target)
		}
		if strings.ContainsAny(s, "\x00\n\r /@=:") || strings.HasPrefix(s, "-") {
			t.Fatalf("%q is taken", s)
		}
	})
}
