package authz

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// The account is not known: a rule that asks for it neither refuses nor forbids, everything else in the question counts.
func TestPossible(t *testing.T) {
	any := `permit (principal, action, resource);`
	tests := []struct {
		name, policy string
		want         bool
	}{
		{"for everybody", any, true},
		{"for one account", `permit (principal, action, resource) when { context.account == "deploy" };`, true},
		{"for all but one", `permit (principal, action, resource) unless { context.account == "root" };`, true},
		{"for a pattern", `permit (principal, action, resource) when { context.account like "web*" };`, true},
		{"for a list", `permit (principal, action, resource) when { ["a", "b"].contains(context.account) };`, true},
		{"where it is there", `permit (principal, action, resource) when { context has account && context.account == "a" };`, true},
		{"for an account and this command", `permit (principal, action, resource) when { context.command == "id" && context.account == "a" };`, true},
		{"for an account and another command", `permit (principal, action, resource) when { context.command == "no" && context.account == "a" };`, false},
		{"in two conditions", `permit (principal, action, resource) when { context.account == "a" } when { context.command == "no" };`, false},
		{"for another user's account", `permit (principal == User::"bob", action, resource) when { context.account == "a" };`, false},
		{"for another action", `permit (principal, action == Action::"shell", resource) when { context.account == "a" };`, false},
		{"for another target", `permit (principal, action, resource == Target::"db") when { context.account == "a" };`, false},
		{"for the target that it is behind", `permit (principal, action, resource in Target::"web1") when { context.account == "a" };`, true},
		{"forbidden for an account", any + `forbid (principal, action, resource) when { context.account == "root" };`, true},
		{"forbidden for all but one", any + `forbid (principal, action, resource) unless { context.account == "deploy" };`, true},
		{"forbidden in any case", any + `forbid (principal, action, resource) when { context.command == "id" || context.account == "root" };`, false},
		{"forbidden", any + `forbid (principal, action, resource) when { context.command == "id" };`, false},
		{"a broken prohibition", any + `forbid (principal, action, resource) when { context.acount == "root" };`, false},
		{"nobody", ``, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := NewDecider(mustPolicy(t, tt.policy), nil)
			req := Request{Subject: Subject{Principal: "alice"}, Action: Exec, Target: "web1+docker.app", Command: "id"}
			got := d.Possible(req)
			if got.Allow != tt.want || (got.Public == "") != got.Allow || got.Reason == "" {
				t.Errorf("got %+v", got)
			}
			// It never refuses what Decide would permit for some account.
			for _, req.Account = range []string{"", "a", "deploy", "root", "web2", "anybody"} {
				if dec := d.Decide(req); dec.Allow && !got.Allow {
					t.Errorf("refused, but permitted for %q", req.Account)
				}
			}
		})
	}
}

func TestPossibleWithAnAccountIsExact(t *testing.T) {
	d := NewDecider(mustPolicy(t, `permit (principal, action, resource) when { context.account == "deploy" };`), nil)
	req := Request{Subject: Subject{Principal: "alice"}, Action: Exec, Target: "web1"}
	for account, want := range map[string]bool{"deploy": true, "root": false} {
		if req.Account = account; d.Possible(req).Allow != want {
			t.Errorf("%s: want %v", account, want)
		}
	}
}

func TestPossibleIsOnRecordWhenItRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	d := NewDecider(mustPolicy(t, `permit (principal, action == Action::"shell", resource) when { context.account == "deploy" };`), openLog(t, path))
	for _, a := range []Action{Shell, Exec} {
		d.Possible(Request{Subject: Subject{Principal: "alice"}, Action: a, Target: "web1"})
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := parseRecord(bytes.TrimSuffix(text, []byte("\n")))
	if err != nil || rec.Action != Exec || rec.Allow || rec.Reason != "no rule permits it, whatever the account" {
		t.Errorf("got %s", text)
	}
}
