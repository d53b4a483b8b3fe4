package integration

import (
	"os/exec"
	"strings"
	"testing"
)

// from runs a program in one target that lands in another.
func from(source, dest string, argv ...string) *exec.Cmd {
	return fakesshd(append([]string{"run", "--config", b.Path("fakesshd.yaml"), "--from", source, dest, "--"}, argv...)...)
}

func TestFromOneTargetToAnotherByACircuit(t *testing.T) {
	for _, c := range [][2]string{{"web1", "app"}, {"app", "web2"}, {"hop3", "far"}, {"local", "web1"}} {
		t.Run(c[0]+" to "+c[1], func(t *testing.T) {
			src, dst := farDir(t, c[0]), farDir(t, c[1])
			ok(t, b.SSH(c[0]+"@gw", "cd "+src+" && head -c 5000000 /dev/urandom >blob && echo text >'a b'"))
			ok(t, from(c[0], c[1], "rsync", "-a", src+"/", "there:"+dst+"/"))
			sums := "cd %s && sha256sum *"
			want := ok(t, b.SSH(c[0]+"@gw", strings.Replace(sums, "%s", src, 1))).out
			if got := ok(t, b.SSH(c[1]+"@gw", strings.Replace(sums, "%s", dst, 1))).out; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestFromGivesExitStatusAndStderr(t *testing.T) {
	r := do(t, from("web1", "app", "ssh", "there", "echo out; echo err >&2; exit 9"))
	if r.code != 9 || r.out != "out\n" || r.err != "err\n" {
		t.Errorf("exit %d, stdout %q, stderr %q", r.code, r.out, r.err)
	}
	r = do(t, from("web1", "app", "sh", "-c", "exit 11"))
	if r.code != 11 {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
}

func TestRunGivesExitStatusStderrAndTwoCallsAtOnce(t *testing.T) {
	run := func(argv ...string) result {
		return do(t, fakesshd(append([]string{"run", "--config", b.Path("fakesshd.yaml"), "web1", "--"}, argv...)...))
	}
	if r := run("ssh", "x", "echo out; echo err >&2; exit 9"); r.code != 9 || r.out != "out\n" || r.err != "err\n" {
		t.Errorf("exit %d, stdout %q, stderr %q", r.code, r.out, r.err)
	}
	r := run("sh", "-c", `ssh a 'sleep 1; echo one' & ssh b 'sleep 1; echo two' & wait; ssh c 'exit 3'`)
	if r.code != 3 || len(r.out) != len("one\ntwo\n") {
		t.Errorf("exit %d, stdout %q, stderr %q", r.code, r.out, r.err)
	}
	if r := run("sh", "-c", `echo data | ssh x 'cat; cat /nonexistent'`); r.code != 1 || r.out != "data\n" || !strings.Contains(r.err, "nonexistent") {
		t.Errorf("exit %d, stdout %q, stderr %q", r.code, r.out, r.err)
	}
}

func TestSSHCommandUsesTheGatewaysTree(t *testing.T) {
	r := do(t, fakesshd("ssh", "--config", b.Path("fakesshd.yaml"), "web1", "echo out; exit 8"))
	if r.code != 8 || r.out != "out\n" {
		t.Errorf("exit %d, stdout %q, stderr %q", r.code, r.out, r.err)
	}
	r = ok(t, fakesshd("tree", "--config", b.Path("fakesshd.yaml")))
	if !strings.Contains(r.out, "web1 (ssh)") {
		t.Errorf("the tree is\n%s", r.out)
	}
}
