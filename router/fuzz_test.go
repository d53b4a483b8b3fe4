package router_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"fakessh/router"
	"fakessh/router/routertest"
)

// fuzzRouter is a context with functions, a parent and a child. What the fuzzer says comes from the neighbour it plays.
func fuzzRouter(f *testing.F) *router.Router {
	r := router.New(router.Config{ID: 1, ParentIDs: []router.ContextID{0}, Unidirectional: true})
	f.Cleanup(func() { r.Close() })
	serve(r)
	return r
}

// sound checks that the router still answers.
func sound(t *testing.T, r *router.Router) {
	t.Helper()
	if _, err := r.Context(1).Call(t.Context(), "t.echo"); err != nil {
		t.Errorf("the router no longer answers: %v", err)
	}
}

func FuzzFrames(f *testing.F) {
	for _, name := range []string{"head_call_getpid", "head_dead_no_route", "head_forward_log", "head_add_route", "v033_call_with_sender"} {
		f.Add(vector(f, name).bytes(), false)
		f.Add(vector(f, name).bytes(), true)
	}
	f.Add([]byte(strings.Repeat("x", 30)), true)
	f.Add(append(msg{dst: 1, src: 2, auth: 2, handle: 1000}.bytes(), 0x4d), false)
	f.Add(msg{dst: 1, src: 2, auth: 2, handle: 1<<31 | 5, reply: 1<<31 | 6, data: "\x00data"}.bytes(), false)
	r := fuzzRouter(f)
	f.Fuzz(func(t *testing.T, wire []byte, fromAbove bool) {
		cfg := router.LinkConfig{Remote: 2}
		if fromAbove {
			cfg = router.LinkConfig{Remote: 0, Parent: true}
		}
		fresh := r
		if fromAbove { // its loss ends a router
			fresh = router.New(router.Config{ID: 1, ParentIDs: []router.ContextID{0}})
			defer fresh.Close()
			serve(fresh)
		}
		ours, theirs := routertest.Pipe()
		c, err := fresh.AddLink(ours, cfg)
		if err != nil {
			t.Fatal(err)
		}
		go io.Copy(io.Discard, theirs) // ends with the link
		theirs.Write(wire)
		theirs.Close()
		select {
		case <-c.Done():
		case <-time.After(10 * time.Second):
			t.Fatal("the loss is not noticed")
		}
		if !fromAbove {
			sound(t, r)
		}
	})
}

// fuzzHandle lets the neighbour of that kind write to one handle.
func fuzzHandle(f *testing.F, handle uint32, seeds ...string) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	r := fuzzRouter(f)
	above := connect(f, r, parentLink)
	below := connect(f, r, router.LinkConfig{Remote: 2})
	go func() { // ends with the link
		for range above.in {
		}
	}()
	go func() {
		for range below.in {
		}
	}()
	f.Fuzz(func(t *testing.T, payload []byte) {
		if len(payload) > 1<<16 {
			return
		}
		above.rwc.Write(above.own(1, handle, 1000, string(payload)).bytes())
		below.rwc.Write(below.own(1, handle, 1000, string(payload)).bytes())
		sound(t, r)
		for id, via := range r.Routes() {
			if id == 1 || id == 0 && via != 0 {
				t.Errorf("%d is behind %d", id, via)
			}
		}
	})
}

func FuzzAddRoute(f *testing.F) {
	fuzzHandle(f, 103, "3:E", "3", "0:x", "1", ":", "4294967295:name", "\xff")
}

func FuzzDelRoute(f *testing.F) { fuzzHandle(f, 104, "3", "2", "0", "x:y") }

func FuzzCallFunction(f *testing.F) {
	fuzzHandle(f, 101, vector(f, "head_call_getpid").data, vector(f, "head_call_chain").data, vector(f, "head_call_forget_chain").data,
		vector(f, "v033_call_args_kwargs").data, callData(f, "chain", "t", "fail", "x"), callData(f, nil, "t", "echo", "x"))
}

func FuzzForwardLog(f *testing.F) {
	for _, name := range []string{"head_forward_log", "head_forward_log_stdout", "v033_forward_log_noreply_error"} {
		f.Add([]byte(vector(f, name).data))
	}
	f.Add([]byte("a\x00-1\x00\xff"))
	r := router.New(router.Config{Log: func(level router.Level, text string, attrs ...string) {
		if len(text) > 64<<10 || len(attrs)%2 != 0 {
			f.Errorf("record of %d bytes, %d attributes", len(text), len(attrs))
		}
	}})
	f.Cleanup(func() { r.Close() })
	p := connect(f, r, child(1))
	f.Fuzz(func(t *testing.T, payload []byte) {
		if len(payload) > 1<<17 {
			return
		}
		p.rwc.Write(p.own(0, 102, 0, string(payload)).bytes())
		p.rwc.Write(p.own(0, 999999, 4242, "").bytes())
		if m := <-p.in; m != dead(1, 0, 4242, "invalid handle") {
			t.Errorf("came %v", m)
		}
	})
}
