package router

import (
	"io"
	"net"
	"testing"
)

// A frame that shows the peer's handle may come while the stream is being given up, and wait for that: its sender must not be left with
// an end of which nobody knows.
func TestPeerOfAGivenUpStreamIsTold(t *testing.T) {
	r := New(Config{})
	defer r.Close()
	ours, theirs := net.Pipe()
	defer theirs.Close()
	c, err := r.AddLink(ours, LinkConfig{Remote: 1, Name: "child"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.newStream(c, 0)
	if err != nil {
		t.Fatal(err)
	}
	const theirHandle = streamBit | 5
	h := header{magic: EncodingLegacy, dst: 0, src: 1, auth: 1, handle: s.handle, replyTo: theirHandle}
	s.Reset(nil)
	go s.frame(r.linkTo(1), &h, newCreditFrame(0, firstWindow))
	answer := make([]byte, headerLen+1)
	if _, err := io.ReadFull(theirs, answer); err != nil {
		t.Fatal(err)
	}
	var got header
	if !parseHeader(answer, &got) || got.handle != theirHandle || got.replyTo != s.handle || kind(answer[headerLen]) != kindReset {
		t.Errorf("answered by %+v, kind %d", got, answer[headerLen])
	}
}
