package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"fakessh/authz"
	"fakessh/proxy"
)

// The record of a refused login says who it would have been, by which key, and why not.
func TestRefusedLoginIsOnRecord(t *testing.T) {
	g := startGateway(t, "", permitAll)
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	_, err = ssh.Dial("tcp", g.listeners[0].Addr().String(), &ssh.ClientConfig{
		User: "me=root@local", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	})
	if err == nil {
		t.Fatal("a stranger is in")
	}
	var recs []authz.Record
	for end := time.Now().Add(5 * time.Second); len(recs) == 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
		recs = g.audit(t)
	}
	fp := ssh.FingerprintSHA256(key.PublicKey())
	if len(recs) != 1 {
		t.Fatalf("got %+v", recs)
	}
	r := recs[0]
	if r.Event != authz.EventLogin || r.Allow || r.User != "me=root@local" || r.Key != fp || r.Principal != "" || r.Reason != "key "+fp+" is nobody's" || r.Source == "" {
		t.Errorf("got %+v", r)
	}
}

func TestAuditRecords(t *testing.T) {
	tests := []struct {
		event proxy.Event
		want  string // the fields that say it
	}{
		{proxy.Event{Kind: proxy.EventLogin, User: "web1"}, "login allow web1"},
		{proxy.Event{Kind: proxy.EventVirtualHost, User: "root", Target: "web1", Mode: "terminate"}, "login allow root web1 terminate"},
		{proxy.Event{Kind: proxy.EventLoginFailed, User: "web1"}, "login deny web1"},
		{proxy.Event{Kind: proxy.EventForwardEnd, Target: "web1", Mode: "passthrough", Dest: "web1:22", Action: authz.Jump}, "end allow web1 passthrough"},
		{proxy.Event{Kind: proxy.EventRefused, Target: "web1", Mode: "deny", Action: authz.Jump}, "forward deny web1 deny"},
		{proxy.Event{Kind: proxy.EventRefused}, "channel deny"},
		{proxy.Event{Kind: proxy.EventSessionEnd, Target: "web1", Status: 255, Refused: true}, "end deny web1"},
		{proxy.Event{Kind: proxy.EventSessionEnd, Target: "web1"}, "end allow web1"},
	}
	for _, tt := range tests {
		r, ok := auditRecord(tt.event)
		word := "deny"
		if r.Allow {
			word = "allow"
		}
		if got := strings.Join(strings.Fields(strings.Join([]string{string(r.Event), word, r.User, r.Target, r.Mode}, " ")), " "); !ok || got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.event.Kind, got, tt.want)
		}
	}
	if _, ok := auditRecord(proxy.Event{Kind: proxy.EventSessionStart}); ok {
		t.Error("a start is recorded twice")
	}
}
