package authz

import (
	"strings"
	"testing"
	"time"
)

const manual = `
@id("ops-prod")
permit (principal in Group::"ops", action in [Action::"shell", Action::"exec"], resource in TargetGroup::"prod")
when { context.account != "root" };

@id("alice-root")
permit (principal == User::"alice", action == Action::"shell", resource == Target::"web1")
when { context.account == "root" && context has source_ip && context.source_ip.isInRange(ip("10.0.0.0/8")) };

@id("behind-web1")
permit (principal == User::"carol", action, resource in Target::"web1");

@id("no-dd")
forbid (principal, action == Action::"exec", resource) when { context.command like "dd *" };

@id("office-hours")
permit (principal == User::"dave", action == Action::"shell", resource == Target::"web1")
when { context.time.toTime() >= duration("8h") && context.time.toTime() < duration("18h") };

@id("web-ports")
permit (principal == User::"erin", action == Action::"forward_local", resource == Target::"web1")
when { [80, 443].contains(context.dest_port) && context.dest_host == "127.0.0.1" };

@id("one-hop")
permit (principal == User::"frank", action == Action::"hop", resource)
when { context.hop_count <= 1 && context.hops == ["docker"] };
`

func mustPolicy(t testing.TB, text string) *Policy {
	t.Helper()
	p, err := ParsePolicy("policy.cedar", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPolicyManual(t *testing.T) {
	d := NewDecider(mustPolicy(t, manual), nil)
	noon := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	ops := func(name string) Subject { return Subject{Principal: name, Groups: []string{"ops"}} }
	prod := []string{"prod"}
	tests := []struct {
		name  string
		req   Request
		allow bool
		why   string
	}{
		{"a group may on a target group", Request{Subject: ops("bob"), Action: Shell, Target: "web1", Groups: prod, Account: "deploy"}, true, "ops-prod"},
		{"not on other targets", Request{Subject: ops("bob"), Action: Shell, Target: "web2", Account: "deploy"}, false, "no rule permits it"},
		{"not without the group", Request{Subject: Subject{Principal: "bob"}, Action: Shell, Target: "web1", Groups: prod}, false, "no rule permits it"},
		{"not another action", Request{Subject: ops("bob"), Action: SFTPRead, Target: "web1", Groups: prod}, false, "no rule permits it"},
		{"not as root", Request{Subject: ops("bob"), Action: Shell, Target: "web1", Groups: prod, Account: "root"}, false, "no rule permits it"},
		{"root from inside", Request{Subject: Subject{Principal: "alice"}, Action: Shell, Target: "web1", Account: "root", SourceAddr: "10.1.2.3:5000"}, true, "alice-root"},
		{"root from inside, mapped", Request{Subject: Subject{Principal: "alice"}, Action: Shell, Target: "web1", Account: "root", SourceAddr: "[::ffff:10.1.2.3]:5000"}, true, "alice-root"},
		{"no root from outside", Request{Subject: Subject{Principal: "alice"}, Action: Shell, Target: "web1", Account: "root", SourceAddr: "192.0.2.1:5000"}, false, "no rule"},
		{"no root from nowhere", Request{Subject: Subject{Principal: "alice"}, Action: Shell, Target: "web1", Account: "root"}, false, "no rule"},
		{"a target includes what is behind it", Request{Subject: Subject{Principal: "carol"}, Action: Exec, Target: "web1+docker.app+su.pg"}, true, "behind-web1"},
		{"but not its namesake", Request{Subject: Subject{Principal: "carol"}, Action: Exec, Target: "web10"}, false, "no rule"},
		{"forbid beats permit", Request{Subject: ops("bob"), Action: Exec, Target: "web1", Groups: prod, Command: "dd if=/dev/sda"}, false, "forbidden by no-dd"},
		{"in office hours", Request{Subject: Subject{Principal: "dave"}, Action: Shell, Target: "web1", Time: noon}, true, "office-hours"},
		{"not at night", Request{Subject: Subject{Principal: "dave"}, Action: Shell, Target: "web1", Time: noon.Add(8 * time.Hour)}, false, "no rule"},
		{"a forward to a named port", Request{Subject: Subject{Principal: "erin"}, Action: ForwardLocal, Target: "web1", DestHost: "127.0.0.1", DestPort: 443}, true, "web-ports"},
		{"not to another", Request{Subject: Subject{Principal: "erin"}, Action: ForwardLocal, Target: "web1", DestHost: "127.0.0.1", DestPort: 22}, false, "no rule"},
		{"a hop of one kind", Request{Subject: Subject{Principal: "frank"}, Action: Hop, Target: "web1+docker.x", Hops: []string{"docker"}}, true, "one-hop"},
		{"not of another", Request{Subject: Subject{Principal: "frank"}, Action: Hop, Target: "web1+sudo", Hops: []string{"sudo"}}, false, "no rule"},
		{"nobody", Request{Action: Shell, Target: "web1"}, false, "no principal"},
		{"nothing", Request{Subject: ops("bob"), Target: "web1"}, false, "no action"},
		{"a group's name is no user", Request{Subject: Subject{Principal: "ops"}, Action: Shell, Target: "web1", Groups: prod}, false, "no rule"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := d.Decide(tt.req)
			if got.Allow != tt.allow || !strings.Contains(got.Reason, tt.why) {
				t.Errorf("got %+v, want allow=%v because %q", got, tt.allow, tt.why)
			}
			if (got.Public == "") != got.Allow || !got.Allow && got.Public != PublicRefusal {
				t.Errorf("public text %q", got.Public)
			}
		})
	}
}

func TestNoPolicyPermitsNothing(t *testing.T) {
	for _, d := range []*Decider{NewDecider(nil, nil), NewDecider(NoPolicy(), nil), NewDecider(mustPolicy(t, "// nothing"), nil)} {
		if got := d.Decide(Request{Subject: Subject{Principal: "root"}, Action: Shell, Target: "local"}); got.Allow {
			t.Errorf("%s: got %+v", d.Policy().Name(), got)
		}
	}
}

func TestBuiltinPolicy(t *testing.T) {
	me := Subject{Principal: "me"}
	tests := []struct {
		name    string
		account string // that the program runs as
		req     Request
		want    bool
	}{
		{"my account by default", "me", Request{Subject: me, Action: Shell, Target: "local"}, true},
		{"my account by name", "me", Request{Subject: me, Action: SFTPWrite, Target: "local", Account: "me"}, true},
		{"a forward", "me", Request{Subject: me, Action: ForwardLocal, Target: "local", DestHost: "127.0.0.1", DestPort: 80}, true},
		{"a listener", "me", Request{Subject: me, Action: ForwardRemote, Target: "local", Account: "me", DestHost: "localhost", DestPort: 80}, true},
		{"the ssh-agent", "me", Request{Subject: me, Action: AgentForward, Target: "local", Account: "me"}, true},
		{"another account", "me", Request{Subject: me, Action: Shell, Target: "local", Account: "you"}, false},
		{"root", "me", Request{Subject: me, Action: Shell, Target: "local", Account: "root"}, false},
		{"a hop to root", "me", Request{Subject: me, Action: Hop, Target: "local+sudo", Hops: []string{"sudo"}}, false},
		{"behind a hop", "me", Request{Subject: me, Action: Shell, Target: "local+sudo"}, false},
		{"another target", "me", Request{Subject: me, Action: Shell, Target: "web1"}, false},
		{"a relay", "me", Request{Subject: me, Action: Jump, DestHost: "example.com", DestPort: 22}, false},
		{"somebody else", "me", Request{Subject: Subject{Principal: "you"}, Action: Shell, Target: "local"}, false},
		{"the tree", "me", Request{Subject: me, Action: ShowTree}, true},
		{"a run", "me", Request{Subject: me, Action: Run}, true},
		{"root's own account", "root", Request{Subject: me, Action: Shell, Target: "local", Account: "root"}, true},
		{"root is not everybody", "root", Request{Subject: me, Action: Shell, Target: "local", Account: "you"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := NewDecider(BuiltinPolicy("me", tt.account), nil).Decide(tt.req); got.Allow != tt.want {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// A prohibition that cannot be evaluated must not turn into a grant.
func TestBrokenForbidRefuses(t *testing.T) {
	d := NewDecider(mustPolicy(t, `permit (principal, action, resource);
@id("typo") forbid (principal, action, resource) when { context.acount == "root" };`), nil)
	got := d.Decide(Request{Subject: Subject{Principal: "a"}, Action: Shell, Target: "t"})
	if got.Allow || !strings.Contains(got.Reason, "cannot evaluate typo") {
		t.Errorf("got %+v", got)
	}
}

func TestBrokenPermitIsNamed(t *testing.T) {
	d := NewDecider(mustPolicy(t, `@id("typo") permit (principal, action, resource) when { context.acount == "root" };`), nil)
	got := d.Decide(Request{Subject: Subject{Principal: "a"}, Action: Shell, Target: "t"})
	if got.Allow || !strings.Contains(got.Reason, "typo") {
		t.Errorf("got %+v", got)
	}
}

func TestPolicyErrorsNameTheLine(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"misspelt effect", "\npermt (principal, action, resource);", `policy p.cedar:2: `},
		{"missing semicolon", "permit (principal, action, resource)\n\n", `policy p.cedar:`},
		{"duplicate id", `@id("a") permit (principal, action, resource);` + "\n\n" + `@id("a") forbid (principal, action, resource);`,
			`policy p.cedar:3: id "a" is taken by the rule in line 1`},
		{"open string", `permit (principal == User::"x`, `policy p.cedar:1: `},
		{"bottomless", strings.Repeat("(", 1000), `policy p.cedar:1: brackets nested deeper than 100`},
		{"huge", strings.Repeat(" ", maxPolicyBytes+1), `policy p.cedar: larger than 262144 bytes`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParsePolicy("p.cedar", []byte(tt.text))
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestBracketsInStringsAndCommentsDoNotCount(t *testing.T) {
	many := strings.Repeat("(", 500)
	mustPolicy(t, "// "+many+"\n"+`permit (principal, action, resource) when { context.command != "`+many+`\"" };`)
}

func TestRuleIDs(t *testing.T) {
	p := mustPolicy(t, "permit (principal, action, resource);\n@id(\"named\") permit (principal, action, resource);\nforbid (principal, action, resource); forbid (principal, action, resource);")
	if got := strings.Join(p.Rules(), " "); got != "named policy.cedar:1 policy.cedar:3 policy.cedar:3:39" {
		t.Error(got)
	}
}

func TestSetPolicyTakesEffectAtOnce(t *testing.T) {
	d := NewDecider(nil, nil)
	req := Request{Subject: Subject{Principal: "a"}, Action: Shell, Target: "t"}
	for range 3 {
		d.SetPolicy(mustPolicy(t, "permit (principal, action, resource);"))
		if !d.Decide(req).Allow {
			t.Error("refused under the permitting policy")
		}
		d.SetPolicy(nil)
		if d.Decide(req).Allow {
			t.Error("allowed under no policy")
		}
	}
}

func FuzzParsePolicy(f *testing.F) {
	f.Add([]byte(manual))
	f.Add([]byte(`permit (principal, action, resource) unless { !!-1 == if true then [1] else {"a": 2}.a };`))
	f.Add([]byte("// \"\n\"(\\"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParsePolicy("p", text)
		if (p == nil) == (err == nil) {
			t.Fatalf("both or neither: %v, %v", p, err)
		}
		if p != nil {
			p.evaluate(Request{Subject: Subject{Principal: "a"}, Action: Shell, Target: "t+docker.x"})
		}
	})
}
