package integration

import (
	"os/exec"
	"strings"
	"testing"
)

// A Python program with the real Mitogen reaches every agent of the tree, however deep, as the README has it.
func TestMitogenAttachesToTheWholeTree(t *testing.T) {
	for _, c := range chains {
		ok(t, b.SSH(c+"@gw", "true"))
	}
	tree := ok(t, fakesshd("tree", "--config", b.Path("fakesshd.yaml"), "--json"))
	attach := exec.Command("/usr/bin/python3", "-B", "../examples/attach.py", b.Control)
	attach.Stdin = strings.NewReader(tree.out)
	r := ok(t, attach)
	for _, c := range chains {
		if !strings.Contains("\n"+r.out, "\n"+c+": ") {
			t.Errorf("nothing about %s:\n%s", c, r.out)
		}
	}
	if r.err != "" {
		t.Errorf("it complains: %s", r.err)
	}
}
