package role

import "testing"

func TestRoles(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want int
		ok   bool
	}{
		{[]string{"./fakessh-linux-amd64", "agent", "probe"}, 0, true},
		{[]string{"/run/x/ssh", "-V"}, 0, true},
		{[]string{"fakessh"}, 0, false},
		{[]string{"fakesshd", "serve"}, 0, false},
		{nil, 0, false},
	} {
		if got, ok := Main(tc.args); got != tc.want || ok != tc.ok {
			t.Errorf("%q gives %d, %v; want %d, %v", tc.args, got, ok, tc.want, tc.ok)
		}
	}
}
