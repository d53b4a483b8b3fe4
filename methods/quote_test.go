package methods

import (
	"os/exec"
	"strings"
	"testing"
)

var hostileWords = []string{"", "plain", "a b", "'", `"`, `\`, `\\`, `\'`, "$HOME", "`id`", "$(id)", "a;b", "a&b", "!", "!!", "it's!\\", "-n", "~", "*", "{a,b}", "#", "=x", "%self", "é\xff", "a\tb", "^x", "(x)", "<", ">", "|", "[a]", "?"}

// Every login shell reads a quoted word as it was.
func TestQuoteInShells(t *testing.T) {
	for _, shell := range []string{"sh", "bash", "dash", "zsh", "fish", "tcsh", "busybox"} {
		path, err := exec.LookPath(shell)
		if err != nil {
			continue // which ones are there is the machine's affair; sh always is
		}
		t.Run(shell, func(t *testing.T) {
			argv := []string{path, "-c"}
			if shell == "busybox" {
				argv = []string{path, "sh", "-c"}
			}
			script := QuoteArgs(append([]string{"/usr/bin/printf", "%s|"}, hostileWords...))
			out, err := exec.Command(argv[0], append(argv[1:], script)...).Output()
			if want := strings.Join(hostileWords, "|") + "|"; err != nil || string(out) != want {
				t.Errorf("got %q, %v\nwant %q", out, err, want)
			}
		})
	}
}

// A newline is one for POSIX shells.
func TestQuoteNewline(t *testing.T) {
	out, err := exec.Command("sh", "-c", "printf %s "+Quote("a\nb")).Output()
	if err != nil || string(out) != "a\nb" {
		t.Errorf("got %q, %v", out, err)
	}
}

// plainArgs survives a shell that expands $ and joins lines: it has neither.
func TestPlainArgs(t *testing.T) {
	words := append([]string{"printf", "%s|", "two\nlines\n", "100%"}, hostileWords...)
	argv := plainArgs(words)
	if text := strings.Join(argv, ""); strings.ContainsAny(text, "$\n") {
		t.Fatalf("%q", text)
	}
	out, err := exec.Command(argv[0], argv[1:]...).Output()
	if want := strings.Join(words[2:], "|") + "|"; err != nil || string(out) != want {
		t.Errorf("got %q, %v\nwant %q", out, err, want)
	}
}

func TestPyList(t *testing.T) {
	for want, items := range map[string][]string{
		`[]`:                 nil,
		`['a', 'b c']`:       {"a", "b c"},
		`["it's", '"', 'n']`: {"it's", `"`, "n"},
		`['it\'s "x"']`:      {`it's "x"`},
		`['a\\b\n']`:         {"a\\b\n"},
	} {
		if got := pyList(items); got != want {
			t.Errorf("pyList(%q) = %s, want %s", items, got, want)
		}
	}
}
