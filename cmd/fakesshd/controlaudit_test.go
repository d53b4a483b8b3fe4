package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"fakessh/authz"
	"fakessh/bootstrap/agent/session"
)

// story is the audit's records, each as what matters here. A connection's name is checked and left out.
func (g *gateway) story(t *testing.T) (list []string) {
	t.Helper()
	for _, r := range g.audit(t) {
		if r.Event != authz.EventLogin && (len(r.Conn) < 12 || r.Principal != "me" || !strings.HasPrefix(r.Source, "unix:")) {
			t.Errorf("who? %+v", r)
		}
		text := fmt.Sprintf("%s %s %s@%s %q allow=%v", r.Event, r.Action, r.Account, r.Target, r.Command, r.Allow)
		if r.Exit != nil {
			text += fmt.Sprint(" exit ", *r.Exit)
		}
		if r.Event == authz.EventEnd && r.Reason != "" {
			text += ": " + r.Reason
		}
		list = append(list, strings.TrimSuffix(text+" "+r.Signal, " "))
	}
	return list
}

func TestControlSessionsAreOnRecord(t *testing.T) {
	g := startGateway(t, "", `
permit (principal, action == Action::"exec", resource) unless { context.command == "reboot" };
permit (principal, action in [Action::"run", Action::"forward_local"], resource);
`)
	me := ownAccount(t)
	start := func(command string) {
		t.Helper()
		g.ask(t, &session.Invocation{Op: session.OpSession, Host: "local", Spec: &session.Spec{Kind: session.Exec, Command: command}})
	}
	start("exit 7")
	start("kill -9 $$")
	start("reboot")
	want := []string{
		`command exec ` + me + `@local "exit 7" allow=true`,
		`end exec ` + me + `@local "exit 7" allow=true exit 7`,
		`command exec ` + me + `@local "kill -9 $$" allow=true`,
		`end exec ` + me + `@local "kill -9 $$" allow=true KILL`,
	}
	got := g.story(t)
	if len(got) < 6 || !slices.Equal(got[:4], want) {
		t.Errorf("on record:\n%s", strings.Join(got, "\n"))
	}
	if last := got[len(got)-1]; !strings.HasPrefix(last, "end exec ") || !strings.Contains(last, `"reboot" allow=false: access denied`) {
		t.Errorf("the end of what was refused: %s", last)
	}
	records := g.audit(t)
	if records[0].Conn != records[1].Conn || records[1].Conn == records[2].Conn {
		t.Errorf("connections %q, %q, %q", records[0].Conn, records[1].Conn, records[2].Conn)
	}
}

// What a program in a target asks for belongs to its run.
func TestInvocationsOfRunsAreOnRecord(t *testing.T) {
	g := startGateway(t, "", permitAll)
	a := g.ask(t, &session.Invocation{Op: session.OpRun, From: "local", Dest: "local", Args: []string{"sh", "-c", "ssh x 'exit 3'; exit 4"}})
	if a.exit != 4 {
		t.Fatalf("%+v", a)
	}
	var run, inner string
	for _, r := range g.audit(t) {
		switch {
		case r.Event == authz.EventEnd && r.Exit != nil && *r.Exit == 4:
			run = r.Conn
		case r.Event == authz.EventEnd && r.Command == "exit 3":
			inner = r.Conn
		}
	}
	if run == "" || !strings.HasPrefix(inner, run+"/") {
		t.Errorf("run %q, inner %q:\n%s", run, inner, strings.Join(g.story(t), "\n"))
	}
}

func TestStrangersAreOnRecord(t *testing.T) {
	g := startGateway(t, "", permitAll)
	users, err := authz.NewUsers(nil)
	if err != nil {
		t.Fatal(err)
	}
	g.users.Replace(users)
	for range 300 {
		if _, err := askTree(t.Context(), g.cfg); err == nil {
			t.Fatal("a stranger sees the tree")
		}
	}
	records := g.audit(t)
	r := records[0]
	if r.Event != authz.EventLogin || r.Allow || r.User != ownAccount(t) || !strings.Contains(r.Reason, "is no user of this gateway") {
		t.Errorf("%+v", r)
	}
	if len(records) < 100 || len(records) > 200 {
		t.Errorf("%d records of 300 refusals", len(records))
	}
}
