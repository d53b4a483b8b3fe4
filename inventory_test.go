package fakessh

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"fakessh/methods"
)

func TestInventoryIsChecked(t *testing.T) {
	tests := []struct {
		name    string
		targets map[string]TargetConfig
		want    string
	}{
		{"nothing", nil, ""},
		{"the example", testTargets(), ""},
		{"an unknown method", map[string]TargetConfig{"x": {Spec: methods.Spec{Method: "telnet"}}}, `target "x": unknown method "telnet"`},
		{"no method", map[string]TargetConfig{"x": {}}, `target "x": unknown method ""`},
		{"a missing parameter", map[string]TargetConfig{"x": {Spec: methods.Spec{Method: "exec"}}}, `target "x": exec: command is required`},
		{"a name with a capital", map[string]TargetConfig{"Web": {Spec: exec("x")}}, `target "Web": a name is lower-case`},
		{"a name with a plus", map[string]TargetConfig{"a+b": {Spec: exec("x")}}, `target "a+b": a name is`},
		{"via nothing", map[string]TargetConfig{"x": {Spec: exec("x"), Via: "y"}}, `target "x": via: no target "y"`},
		{"via rubbish", map[string]TargetConfig{"x": {Spec: exec("x"), Via: "Y"}}, `target "x": via: target "Y": a name is`},
		{"via a bad hop", map[string]TargetConfig{"x": {Spec: exec("x"), Via: "local+telnet"}}, `target "x": via: target "local+telnet": "telnet": unknown method`},
		{"via itself", map[string]TargetConfig{"x": {Spec: exec("x"), Via: "x"}}, `target "x": via goes round in a circle: x via x`},
		{"via each other", map[string]TargetConfig{"x": {Spec: exec("x"), Via: "y+sudo"}, "y": {Spec: exec("y"), Via: "z"}, "z": {Spec: exec("z"), Via: "y"}}, `via goes round in a circle: y via z via y`},
		{"an unknown jump", map[string]TargetConfig{"x": {Spec: exec("x"), Jump: "maybe"}}, `target "x": jump "maybe": want`},
		{"become nothing known", map[string]TargetConfig{"x": {Spec: exec("x"), Become: "magic"}}, `target "x": become: unknown method "magic"`},
		{"become a container", map[string]TargetConfig{"x": {Spec: exec("x"), Become: "docker"}}, `target "x": become: method "docker" reaches no other accounts`},
		{"too deep", staircase(maxDepth + 1), `more than 32 connections deep`},
		{"as deep as can be", staircase(maxDepth), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := newInventory(tt.targets)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func staircase(n int) map[string]TargetConfig {
	targets := map[string]TargetConfig{"s0": {Spec: exec("x")}}
	for i := 1; i < n; i++ {
		targets[fmt.Sprintf("s%d", i)] = TargetConfig{Spec: exec("x"), Via: fmt.Sprintf("s%d", i-1)}
	}
	return targets
}

func mustParse(t testing.TB, s string) Target {
	t.Helper()
	target, err := ParseTarget(s)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func TestHopsAreMethodsWithTheirArgument(t *testing.T) {
	inv, err := newInventory(testTargets())
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ target, want string }{
		{"local", "local"},
		{"a", "exec[a]"},
		{"c", "exec[a] exec[b] exec[c]"},
		{"c+docker.x+sudo", "exec[a] exec[b] exec[c] docker[x] sudo"},
		{"local+sudo.postgres", "local sudo[postgres]"},
		{"local+setuid.postgres", "local setuid[postgres]"},
		{"deep", "exec[a] exec[b] sudo docker[App]"},
		{"local+telnet", `target "local+telnet": "telnet": unknown method`},
		{"local+local.x", `target "local+local.x": "local.x": method "local" takes no argument`},
		{"local+exec", `target "local+exec": "exec": exec: command is required`},
		{"nowhere+sudo", `no target "nowhere"`},
	}
	for _, tt := range tests {
		c, err := inv.chain(mustParse(t, tt.target))
		got := describeChain(c)
		if err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", tt.target, got, tt.want)
		}
	}
	if _, err := inv.chain(Target{Name: "nowhere"}); !errors.Is(err, ErrNoTarget) {
		t.Errorf("got %v", err)
	}
}

func describeChain(c chain) string {
	var out []string
	for _, s := range c {
		text := s.spec.Method
		for _, v := range s.spec.Params {
			text += strings.ReplaceAll(fmt.Sprintf("[%v]", v), "[[", "[")
		}
		out = append(out, strings.ReplaceAll(text, "]]", "]"))
	}
	return strings.Join(out, " ")
}

// Two names share a context only when everything on the way agrees.
func TestChainKeys(t *testing.T) {
	spec := func(params methods.Params) chain { return chain{{spec: methods.Spec{Method: "m", Params: params}}} }
	same := [][2]chain{
		{spec(methods.Params{"a": "x", "b": true}), spec(methods.Params{"b": true, "a": "x"})},
		{spec(methods.Params{"a": 1}), spec(methods.Params{"a": int64(1)})},
		{spec(methods.Params{"a": []string{"x"}}), spec(methods.Params{"a": []any{"x"}})},
		{spec(methods.Params{"a": nil}), spec(nil)},
	}
	for i, pair := range same {
		if pair[0].key() != pair[1].key() {
			t.Errorf("pair %d differs", i)
		}
	}
	different := []chain{
		nil,
		spec(nil),
		append(spec(nil), spec(nil)...),
		spec(methods.Params{"a": "x"}),
		spec(methods.Params{"a": methods.Secret("x")}),
		spec(methods.Params{"a": methods.Secret("y")}),
		spec(methods.Params{"a": "1"}),
		spec(methods.Params{"a": 1}),
		spec(methods.Params{"a": []string{"x y"}}),
		spec(methods.Params{"a": []string{"x", "y"}}),
		spec(methods.Params{"a": "x", "b": "y"}),
		spec(methods.Params{"ab": "xy"}),
	}
	seen := map[nodeKey]int{}
	for i, c := range different {
		if j, taken := seen[c.key()]; taken {
			t.Errorf("chains %d and %d are one", i, j)
		}
		seen[c.key()] = i
	}
}

func TestResolve(t *testing.T) {
	targets := testTargets()
	docker := func(name string) methods.Spec {
		return methods.Spec{Method: "docker", Params: methods.Params{"container": name}}
	}
	targets["one"] = TargetConfig{Spec: docker("MyApp"), Via: "a"}
	targets["two"] = TargetConfig{Spec: docker("DB"), Via: "a"}
	targets["three"] = TargetConfig{Spec: docker("Db"), Via: "a"}
	targets["four"] = TargetConfig{Spec: docker("web"), Via: "a"}
	targets["five"] = TargetConfig{Spec: docker("WEB"), Via: "a"}
	inv, err := newInventory(targets)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ in, want string }{
		{"a", "a"},
		{"a+docker.myapp", "a+docker.MyApp"},
		{"twin+docker.myapp", "twin+docker.MyApp"}, // the same place by another name
		{"a+docker.myapp+sudo.x", "a+docker.MyApp+sudo.x"},
		{"a+docker.MYAPP", "a+docker.MYAPP"}, // has capitals: has lost none
		{"a+docker.other", "a+docker.other"},
		{"a+sudo.myapp", "a+sudo.myapp"},
		{"root+docker.myapp", "root+docker.myapp"}, // another place
		{"a+docker.web", "a+docker.web"},           // exact first
		{"a+docker.db", `target "a+docker.db": "docker.db": may be any of ["DB" "Db"]`},
		{"nowhere", `no target "nowhere"`},
		{"a+telnet.x", "a+telnet.x"}, // an error of whoever connects
	}
	for _, tt := range tests {
		target, err := inv.resolve(mustParse(t, tt.in))
		got := target.String()
		if err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", tt.in, got, tt.want)
		}
	}
}

func TestPlan(t *testing.T) {
	ssh := func(params methods.Params) methods.Spec { return methods.Spec{Method: "ssh", Params: params} }
	inv, err := newInventory(map[string]TargetConfig{
		"jump": {Spec: ssh(methods.Params{"hostname": "jump.example.com", "port": int64(2200)})},
		"web1": {Spec: ssh(methods.Params{"hostname": "::1", "username": "deploy"}), Via: "jump", Become: "sudo", Groups: []string{"prod", "web"}, Jump: "passthrough"},
		"ids":  {Spec: methods.Spec{Method: "docker", Params: methods.Params{"container": "x", "username": "1000:1000"}}},
		"addr": {Spec: exec("x"), Address: "10.0.0.1:22", Jump: "deny"},
	})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ target, want string }{
		{"local", "local [] [] terminate    "},
		{"jump", "jump [] [] terminate jump.example.com:2200   "},
		{"web1", "web1 [prod web] [] passthrough [::1]:22 jump sudo deploy"},
		{"web1+docker.x+sudo", "web1+docker.x+sudo [prod web] [docker sudo] terminate    root"},
		{"web1+setuid.www", "web1+setuid.www [prod web] [setuid] terminate    www"},
		{"addr", "addr [] [] deny 10.0.0.1:22   "},
		{"ids", "ids [] [] terminate    "},
		{"web1+telnet", `target "web1+telnet": "telnet": unknown method`},
		{"web2", `no target "web2"`},
	}
	for _, tt := range tests {
		p, err := inv.plan(mustParse(t, tt.target))
		var got string
		if err != nil {
			got = err.Error()
		} else {
			got = fmt.Sprintf("%s %v %v %s %s %s %s %s", p.Target, p.Groups, p.Hops, p.Jump, p.Address, p.Via, p.Become, p.Account)
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.target, got, tt.want)
		}
	}
}

func TestExits(t *testing.T) {
	e, err := NewExits(map[string]string{
		"*.corp.example.com":      "bastion",
		"*.db.corp.example.com":   "dbgate",
		"one.db.corp.example.com": "local",
		"10.0.0.0/8":              "bastion",
		"10.1.0.0/16":             "inner+sudo",
		"10.1.2.3":                "local",
		"fd00::/8":                "six",
		"192.0.2.*":               "star",
	})
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]string{
		"web.corp.example.com":      "bastion",
		"WEB.Corp.Example.COM.":     "bastion",
		"a.b.corp.example.com":      "bastion",
		"corp.example.com":          "",
		"two.db.corp.example.com":   "dbgate",
		"one.db.corp.example.com":   "local",
		"evilcorp.example.com":      "",
		"10.200.0.1":                "bastion",
		"10.1.9.9":                  "inner+sudo",
		"10.1.2.3":                  "local",
		"::ffff:10.1.9.9":           "inner+sudo",
		"fd12::1":                   "six",
		"192.0.2.77":                "star",
		"192.0.3.77":                "",
		"x/y.corp.example.com":      "",
		"":                          "",
		"10.1.2.3.corp.example.com": "bastion",
	} {
		if got := e.Match(host); got != want {
			t.Errorf("%q: %q, want %q", host, got, want)
		}
	}
	if (*Exits)(nil).Match("x") != "" {
		t.Error("no exits match something")
	}
	for pattern, target := range map[string]string{"": "a", "a b": "a", "a?": "a", "[a]": "a", "ok": "A", "10.0.0.0/33": "a", "a/b": "a"} {
		if _, err := NewExits(map[string]string{pattern: target}); err == nil {
			t.Errorf("%q: %q is taken", pattern, target)
		}
	}
}
