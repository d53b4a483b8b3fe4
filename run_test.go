package fakessh_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"fakessh"
)

// result is what a program of a run said and how it ended.
type result struct {
	out, err string
	exit     int
}

// runIn runs argv in tree with stdin, and collects what it says.
func runIn(t *testing.T, tree *fakessh.Tree, dest, stdin string, argv []string, opts ...fakessh.RunOption) result {
	t.Helper()
	r, err := tryRun(t, tree, dest, stdin, argv, opts...)
	if err != nil {
		t.Fatalf("run %q: %v", argv, err)
	}
	return r
}

func tryRun(t *testing.T, tree *fakessh.Tree, dest, stdin string, argv []string, opts ...fakessh.RunOption) (result, error) {
	t.Helper()
	in, inW := mustPipe(t)
	outR, out := mustPipe(t)
	errR, stderr := mustPipe(t)
	var stdout, errs bytes.Buffer
	done := make(chan struct{}, 3)
	go func() { io.WriteString(inW, stdin); inW.Close(); done <- struct{}{} }()
	go func() { io.Copy(&stdout, outR); done <- struct{}{} }()
	go func() { io.Copy(&errs, errR); done <- struct{}{} }()
	opts = append([]fakessh.RunOption{fakessh.Stdio(in, out, stderr)}, opts...)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	exit, err := tree.Run(ctx, dest, argv, opts...)
	in.Close()
	out.Close()
	stderr.Close()
	for range 3 {
		<-done
	}
	return result{stdout.String(), errs.String(), exit}, err
}

func mustPipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

func script(command string) []string { return []string{"sh", "-c", command} }

func TestRunCommands(t *testing.T) {
	tree := realTree(t, nil)
	tests := []struct {
		name, stdin, command string
		want                 result
	}{
		{"exit status", "", "ssh any.host 'exit 7'", result{"", "", 7}},
		{"output", "", "ssh any.host 'echo out; echo err >&2'", result{"out\n", "err\n", 0}},
		{"stdin", "some text", "ssh any.host cat", result{"some text", "", 0}},
		{"half-close", "abc", "ssh any.host 'wc -c; sleep 0.1; echo late'", result{"3\nlate\n", "", 0}},
		{"words", "", "ssh any.host echo 'a  b' c", result{"a b c\n", "", 0}},
		{"not found", "", "ssh any.host no-such-program 2>/dev/null", result{"", "", 127}},
		{"killed there", "", "ssh any.host 'kill -9 $$'; echo $?", result{"255\n", "", 0}},
		{"null stdin", "unread", "ssh -n any.host cat; cat", result{"unread", "", 0}},
		{"options after host", "", "ssh any.host -T -o BatchMode=yes -- echo -n x", result{"x", "", 0}},
		{"environment", "", "GIT_PROTOCOL=version=2 ssh -o SendEnv=GIT_PROTOCOL any.host 'echo $GIT_PROTOCOL'", result{"version=2\n", "", 0}},
		{"nobody reads", "", "ssh any.host yes | head -n 1", result{"y\n", "", 0}},
		{"two at once", "", "ssh a 'echo 1; sleep 0.2' & ssh b 'sleep 0.1; echo 2'; wait", result{"1\n2\n", "", 0}},
		{"pipeline", "", "ssh a 'seq 100000' | ssh b 'cat; exit 3'", result{seq(100000), "", 3}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := runIn(t, tree, "local", tt.stdin, script(tt.command)); got != tt.want {
				t.Errorf("got %.300q, want %.300q", fmt.Sprint(got), fmt.Sprint(tt.want))
			}
		})
	}
}

func seq(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strconv.Itoa(i + 1))
		b.WriteByte('\n')
	}
	return b.String()
}
