package proxy

import (
	"fmt"
	"testing"

	gossh "golang.org/x/crypto/ssh"
)

// However many connections it has, a principal cannot have us hold the input of any number of sessions that are not begun.
func TestSessionsThatWaitAreBounded(t *testing.T) {
	g := startGateway(t)
	var open []gossh.Channel
	var client *gossh.Client
	for i := range maxUnbegun {
		if i%64 == 0 {
			client = g.client("web1")
		}
		ch, reqs, err := client.OpenChannel(chanSession, nil)
		if err != nil {
			t.Fatalf("session %d: %v", i, err)
		}
		go gossh.DiscardRequests(reqs)
		open = append(open, ch)
	}
	_, _, err := g.client("local").OpenChannel(chanSession, nil)
	if want := `ssh: rejected: resource shortage ("too many sessions wait for their programs")`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	ok, err := open[0].SendRequest(reqExec, true, gossh.Marshal(struct{ Command string }{"cat"}))
	if !ok || err != nil {
		t.Fatalf("exec: %v, %v", ok, err)
	}
	if ch, _, err := g.client("local").OpenChannel(chanSession, nil); err != nil {
		t.Errorf("after one has begun: %v", err)
	} else {
		ch.Close()
	}
}

// A connection may have many channels, and a principal many connections: but not the product of both.
func TestChannelsOfAPrincipalAreBounded(t *testing.T) {
	g := startGateway(t)
	client := g.client("web1")
	session, _, err := client.OpenChannel(chanSession, nil)
	if err != nil {
		t.Fatal(err)
	}
	for g.open.enter("alice", maxOpen) { // as other connections of hers
	}
	_, _, err = client.OpenChannel(chanSession, nil)
	if want := `ssh: rejected: resource shortage ("too many channels")`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	session.Close()
	if !eventually(func() bool {
		_, _, err := client.OpenChannel(chanSession, nil)
		return err == nil
	}) {
		t.Error("a channel that is closed counts")
	}
}

func TestTally(t *testing.T) {
	var n tally
	for i, want := range []bool{true, true, false} {
		if got := n.enter("alice", 2); got != want {
			t.Errorf("%d: got %v", i, got)
		}
	}
	if !n.enter("bob", 1) {
		t.Error("bob is counted as alice")
	}
	n.leave("alice")
	n.leave("alice")
	n.leave("bob")
	if len(n.n) != 0 || !n.enter("alice", 1) {
		t.Error(fmt.Sprint("left: ", n.n))
	}
}
