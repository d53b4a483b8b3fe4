package session

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"fakessh/router"
	"fakessh/router/routertest"
)

// A target may be hostile: only a port that can be one counts, and only where one was asked for.
func TestPortOfAHostileAgent(t *testing.T) {
	gateway, agent := routertest.Pair(t, routertest.Unidirectional)
	var answer any
	agent.Register(FuncListen, func(_ context.Context, c *router.Call) (any, error) {
		_, err := c.Stream()
		return answer, err
	})
	for _, tc := range []struct {
		network string
		answer  any
		port    int // -1: an error
	}{
		{"tcp", int64(80), 80}, {"unix", int64(0), 0}, {"tcp", int64(0), -1}, {"tcp", int64(-1), -1}, {"tcp", int64(65536), -1}, {"tcp", "80", -1},
		{"tcp", nil, -1}, {"unix", int64(80), -1},
	} {
		answer = tc.answer
		l, err := Listen(t.Context(), gateway.Context(agent.ID()), tc.network, "x")
		if err != nil {
			if tc.port != -1 {
				t.Errorf("%+v: %v", tc, err)
			}
			continue
		}
		if l.Port() != tc.port {
			t.Errorf("%+v: port %d", tc, l.Port())
		}
		l.Reset(errors.New("test over"))
	}
}

// What is no connection is skipped, and a session that was not asked to has none.
func TestItemsOfAHostileAgent(t *testing.T) {
	gateway, agent := routertest.Pair(t, routertest.Unidirectional)
	hostile := func(_ context.Context, c *router.Call) (any, error) {
		s, err := c.Stream()
		if err != nil {
			return nil, err
		}
		for _, item := range []router.Control{
			{Kind: ItemAccept}, {Kind: ItemAccept, Data: []byte("short")}, {Kind: 'z', Data: AppendAsk(nil, 1, "")},
			{Kind: ItemAccept, Data: AppendAsk(nil, 7, "[fe80::1%\x1b[2J]:80")}, {Kind: ItemExit, Data: AppendExit(nil, Exit{Status: 3})},
		} {
			_ = s.SendControl(item)
		}
		_ = s.CloseWrite()
		return int64(80), nil
	}
	agent.Register(FuncListen, hostile)
	agent.Register(FuncStart, hostile)
	l, err := Listen(t.Context(), gateway.Context(agent.ID()), "tcp", "x")
	if err != nil {
		t.Fatal(err)
	}
	in, err := l.Accept(t.Context())
	if err != nil || in.id != 7 || strings.ContainsRune(in.From.String(), 0x1b) {
		t.Errorf("%+v, %v", in, err)
	}
	if _, err := in.Take(t.Context()); err == nil {
		t.Error("taken from an agent that serves no such function")
	}
	if err := l.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := l.Accept(t.Context()); err != io.EOF {
		t.Errorf("accept after close: %v", err)
	}
	c, err := Start(t.Context(), gateway.Context(agent.ID()), &Spec{Kind: Shell})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if exit, err := c.Wait(t.Context()); err != nil || exit.Status != 3 {
		t.Errorf("%+v, %v", exit, err)
	}
}

func FuzzIncoming(f *testing.F) {
	f.Add(AppendAsk(nil, 1, "127.0.0.1:4711"))
	f.Add(AppendAsk(nil, 1<<63, "[::ffff:192.0.2.1%eth0]:65535"))
	f.Add(AppendAsk(nil, 0, ""))
	f.Add([]byte("short"))
	f.Fuzz(func(t *testing.T, data []byte) {
		in, err := newIncoming(nil, data)
		if err == nil && (in.From.Addr().Zone() != "" || in.From.Addr().Is4In6() || len(data) < 8) {
			t.Errorf("%q: %+v", data, in)
		}
	})
}
