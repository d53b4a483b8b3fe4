package agent

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"fakessh/bootstrap"
	"fakessh/bootstrap/agent/session"
	"fakessh/router"
)

// standIn is a small executable that becomes the test's own program, which is a slow one to send.
func standIn(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name := t.TempDir() + "/image"
	if err := os.WriteFile(name, []byte("#!/bin/sh\nexec '"+self+"' \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

// withImages gives w's agent one image, for platform, and a cache of the test's own.
func (w *world) withImages(platform bootstrap.Platform) {
	w.t.Helper()
	w.t.Setenv("XDG_CACHE_HOME", w.t.TempDir())
	w.t.Setenv("GORACE", "atexit_sleep_ms=0")
	im, err := bootstrap.NewImages(nil, "")
	if err == nil {
		err = im.Add(platform, standIn(w.t))
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.agent.cfg.Images = im
}

func connectLocal(t *testing.T, w *world) (*session.Connected, error) {
	t.Helper()
	return session.Connect(background(t), w.peer, &session.ConnectRequest{Method: "local", RemoteName: "child"})
}

func TestConnectChild(t *testing.T) {
	w := newWorld(t)
	w.withImages(bootstrap.Own())
	child, err := connectLocal(t, w)
	if err != nil {
		t.Fatal(err)
	}
	if child.Platform != string(bootstrap.Own()) || child.Version != Version || child.Cached || child.ID == 0 || !strings.HasPrefix(child.Name, "local") {
		t.Errorf("got %+v", child)
	}
	peer := w.nodes.Master.Context(router.ContextID(child.ID))
	inner := &world{t: t, peer: peer}
	if got := inner.run(sh("cat; exit 3"), "through two agents"); got.stdout != "through two agents" || got.exit.Status != 3 {
		t.Errorf("got %+v", got)
	}
	again, err := connectLocal(t, w)
	if err != nil || !again.Cached {
		t.Errorf("second child: %+v, %v", again, err)
	}
	if err := session.Disconnect(background(t), w.peer, child.ID, "not wanted"); err != nil {
		t.Error(err)
	}
	select {
	case <-peer.Done():
	case <-background(t).Done():
		t.Error("the child is still there")
	}
	if err := session.Disconnect(background(t), w.peer, child.ID, "again"); err == nil {
		t.Error("a lost child is disconnected")
	}
	if err := session.Disconnect(background(t), w.peer, uint32(w.nodes.Master.ID()), "parent"); err == nil {
		t.Error("the parent is disconnected")
	}
}

func TestConnectErrors(t *testing.T) {
	w := newWorld(t)
	w.withImages(bootstrap.Own())
	for _, tc := range []struct {
		req  session.ConnectRequest
		kind string
	}{
		{session.ConnectRequest{Method: "teleport"}, session.TypeError},
		{session.ConnectRequest{Method: "local", Params: map[string]any{"colour": "red"}}, session.TypeError},
		{session.ConnectRequest{Method: "exec", Params: map[string]any{"command": "exit 3"}}, ""},
	} {
		_, err := session.Connect(background(t), w.peer, &tc.req)
		var call *router.CallError
		if !errors.As(err, &call) || tc.kind != "" && call.Type != tc.kind || strings.Contains(call.Text, "\n") || call.Text == "" {
			t.Errorf("%+v: %v", tc.req, err)
		}
	}
}

func TestPushedImageServesChildren(t *testing.T) {
	w := newWorld(t)
	w.withImages("linux/other")
	_, err := connectLocal(t, w)
	if platform, ok := session.NeedImage(err); !ok || platform != string(bootstrap.Own()) {
		t.Fatalf("got %v", err)
	}
	self, err := os.ReadFile(standIn(t))
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(self)
	put := func(r io.Reader) error {
		return session.PutImage(background(t), w.peer, string(bootstrap.Own()), hex.EncodeToString(digest[:]), int64(len(self)), r)
	}
	if err := put(bytes.NewReader(self)); err != nil {
		t.Fatal(err)
	}
	if err := put(iotest.ErrReader(errors.New("it is there already"))); err != nil {
		t.Fatal(err)
	}
	if child, err := connectLocal(t, w); err != nil || child.ID == 0 {
		t.Errorf("got %+v, %v", child, err)
	}
}

func TestBadImagesAreRefused(t *testing.T) {
	w := newWorld(t)
	w.withImages("linux/other")
	for _, platform := range []string{"plan9/../../etc", ""} {
		if err := session.PutImage(background(t), w.peer, platform, strings.Repeat("0", 64), 1, strings.NewReader("x")); err == nil {
			t.Errorf("platform %q is accepted", platform)
		}
	}
	s, _, err := w.peer.Open(background(t), session.FuncPutImage, "linux/arm", strings.Repeat("0", 64), int64(5))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, _ = s.Write([]byte("no gzip"))
	_ = s.CloseWrite()
	if _, err := s.Next(); err == nil || !strings.Contains(err.Error(), "put image") {
		t.Errorf("got %v", err)
	}
	for _, size := range []int64{0, -1, session.MaxImage + 1} {
		if _, _, err := w.peer.Open(background(t), session.FuncPutImage, "linux/arm", strings.Repeat("0", 64), size); err == nil {
			t.Errorf("size %d is accepted", size)
		}
	}
}
