package authz

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestEnvList(t *testing.T) {
	everything, err := NewEnvList("*")
	if err != nil {
		t.Fatal(err)
	}
	def := DefaultEnvList()
	tests := []struct {
		name, value string
		def, all    bool
	}{
		{"TERM", "xterm", true, true},
		{"LC_ALL", "C.UTF-8", true, true},
		{"LC_", "", true, true},
		{"GIT_PROTOCOL", "version=2", true, true},
		{"MY_VAR", "x", false, true},
		{"LD_PRELOAD", "/tmp/x.so", false, false},
		{"LD_", "", false, false},
		{"DYLD_INSERT_LIBRARIES", "x", false, false},
		{"BASH_ENV", "x", false, false},
		{"BASH_FUNC_ls%%", "() { :; }", false, false},
		{"ENV", "x", false, false},
		{"IFS", "x", false, false},
		{"PATH", "/tmp", false, false},
		{"HOME", "/", false, false},
		{"SSH_AUTH_SOCK", "/tmp/a", false, false},
		{"PYTHONPATH", "/tmp", false, false},
		{"PERL5OPT", "-Mx", false, false},
		{"NODE_OPTIONS", "--require x", false, false},
		{"GIT_SSH_COMMAND", "x", false, false},
		{"RSYNC_RSH", "x", false, false},
		{"", "x", false, false},
		{"A=B", "x", false, false},
		{"1A", "x", false, false},
		{"A B", "x", false, false},
		{"A\x00", "x", false, false},
		{"LC_/x", "x", false, false},
		{"TERM", "x\x00y", false, false},
		{"TERM", strings.Repeat("x", maxEnvValue+1), false, false},
		{strings.Repeat("A", 129), "x", false, false},
	}
	for _, tt := range tests {
		if got := def.Allowed(tt.name, tt.value); got != tt.def {
			t.Errorf("default list: %q=%.20q: %v", tt.name, tt.value, got)
		}
		if got := everything.Allowed(tt.name, tt.value); got != tt.all {
			t.Errorf("list of *: %q=%.20q: %v", tt.name, tt.value, got)
		}
	}
	if (EnvList{}).Allowed("TERM", "x") {
		t.Error("the zero list allows something")
	}
	got := def.Filter(map[string]string{"TERM": "x", "LD_PRELOAD": "y", "Z": ""})
	if keys := slices.Collect(maps.Keys(got)); len(keys) != 1 || keys[0] != "TERM" {
		t.Errorf("Filter: %v", got)
	}
}

func TestEnvListRefusesOddNames(t *testing.T) {
	for _, n := range []string{"", "A-B", "[A]", "A B", "A/B", "\\", "LD_PRELOAD", "LD_*", "BASH_?", "ENV"} {
		if _, err := NewEnvList(n); err == nil {
			t.Errorf("%q is taken", n)
		}
	}
}
