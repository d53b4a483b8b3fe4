package proxy

import (
	"testing"
)

func TestExec(t *testing.T) {
	g := startGateway(t)
	tests := []struct {
		args []string
		want result
	}{
		{[]string{"web1@gw", "echo out; echo err >&2; exit 7"}, result{"out\n", "err\n", 7}},
		{[]string{"web1@gw", "true"}, result{"", "", 0}},
		{[]string{"deploy@web1@gw", "true"}, result{"", "", 0}},
		{[]string{"alice=deploy@web1@gw", "true"}, result{"", "", 0}},
		{[]string{"alice=web1@gw", "true"}, result{"", "", 0}},
		{[]string{"web1@gw", "kill -9 $$"}, result{"", "", 255}},
		{[]string{"root@web1@gw", "true"}, result{"", "fakesshd: no account \"root\" on web1 for alice; try deploy@web1\n", 255}},
		{[]string{"nosuch@gw", "true"}, result{"", "fakesshd: no target \"nosuch\"\n", 255}},
		{[]string{"-J", "gw", "deploy@web1", "exit 3"}, result{"", "", 3}},
		{[]string{"-J", "gw", "alice@web1", "exit 3"}, result{"", "", 3}},
		{[]string{"-J", "gw", "al@WEB1", "exit 3"}, result{"", "", 3}},
		{[]string{"-J", "gw", "alice@web1+docker.app", "exit 3"}, result{"", "", 3}},
		{[]string{"-J", "gw", "bob@web1", "true"}, result{"", "fakesshd: no account \"bob\" on web1 for alice; try deploy@web1\n", 255}},
	}
	for _, tt := range tests {
		if got := run(t, g.ssh(tt.args...)); got != tt.want {
			t.Errorf("ssh %q:\n got %+v\nwant %+v", tt.args, got, tt.want)
		}
	}
}
