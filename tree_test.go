package fakessh

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fakessh/router"
)

func TestConnectIsDoneOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree, d := testTree(t, func(context.Context, remote, step) error { time.Sleep(time.Second); return nil })
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				for _, name := range []string{"c", "b", "a"} {
					connect(t, tree, name).Release()
				}
			})
		}
		wg.Wait()
		if d.log() != "a b c" {
			t.Errorf("dialled %s", d.log())
		}
	})
}

func TestNamesOfOneChainShareOneContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree, d := testTree(t, nil)
		defer connect(t, tree, "a").Release()
		defer connect(t, tree, "twin").Release()
		if d.log() != "a" {
			t.Errorf("dialled %s", d.log())
		}
	})
}

// One who gives up does not take the others with him; the last one does.
func TestCancelledWaiterLeavesTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cancelled error
		tree, d := testTree(t, func(ctx context.Context, _ remote, _ step) error {
			select {
			case <-time.After(time.Minute):
				return nil
			case <-ctx.Done():
				cancelled = context.Cause(ctx)
				return cancelled
			}
		})
		try := func(timeout time.Duration) <-chan error {
			done := make(chan error, 1)
			go func() {
				ctx, cancel := context.WithTimeout(context.Background(), timeout)
				defer cancel()
				l, err := tree.Connect(ctx, dest(t, "a"))
				if err == nil {
					l.Release()
				}
				done <- err
			}()
			return done
		}
		short, long := try(time.Second), try(2*time.Minute)
		err := <-short
		if !errors.Is(err, context.DeadlineExceeded) || err.Error() != "dial a: context deadline exceeded" {
			t.Errorf("got %v", err)
		}
		if err := <-long; err != nil || cancelled != nil {
			t.Errorf("got %v, dial %v", err, cancelled)
		}

		d.remote("a").lose(errors.New("gone"))
		synctest.Wait()
		<-try(time.Second)
		synctest.Wait()
		if cancelled == nil {
			t.Error("a dial that nobody waits for goes on")
		}
		if err := <-try(time.Hour); err != nil {
			t.Errorf("being cancelled was remembered: %v", err)
		}
	})
}

func TestFailureIsRememberedForTwoSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := errors.New("connection refused")
		tree, d := testTree(t, func(_ context.Context, _ remote, s step) error {
			if s.target.Name == "b" {
				return refused
			}
			return nil
		})
		for _, name := range []string{"b", "b", "c", "c"} {
			_, err := tree.Connect(context.Background(), dest(t, name))
			if !errors.Is(err, refused) || err.Error() != "dial b via a: connection refused" {
				t.Fatalf("got %v", err)
			}
		}
		if d.log() != "a b" {
			t.Errorf("dialled %s", d.log())
		}
		if n := tree.Nodes(); len(n) != 3 || n[1].State != "failed" || n[2].Name != "c" {
			t.Errorf("nodes %+v", n)
		}
		time.Sleep(failureMemory + time.Millisecond)
		if nodeNames(tree) != "a" {
			t.Errorf("nodes %s", nodeNames(tree))
		}
		tree.Connect(context.Background(), dest(t, "b"))
		if d.log() != "a b b" {
			t.Errorf("dialled %s", d.log())
		}
	})
}

func TestIdleContextsCloseInnermostFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree, _ := testTree(t, nil)
		l := connect(t, tree, "c")
		time.Sleep(time.Hour)
		if nodeNames(tree) != "a b c" {
			t.Errorf("in use: %s", nodeNames(tree))
		}
		l.Release()
		l.Release()
		time.Sleep(9 * time.Minute)
		connect(t, tree, "b").Release()
		time.Sleep(2 * time.Minute)
		if nodeNames(tree) != "a b" {
			t.Errorf("after 11 minutes, and 2: %s", nodeNames(tree))
		}
		time.Sleep(9 * time.Minute)
		if nodeNames(tree) != "" {
			t.Errorf("after all: %s", nodeNames(tree))
		}
	})
}

func TestIdleTimeOfTheTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree, _ := testTree(t, nil)
		connect(t, tree, "quick").Release()
		time.Sleep(61 * time.Second)
		if nodeNames(tree) != "a" {
			t.Errorf("after a minute: %s", nodeNames(tree))
		}
		connect(t, tree, "always").Release()
		time.Sleep(24 * time.Hour)
		if nodeNames(tree) != "a always" {
			t.Errorf("after a day: %s", nodeNames(tree))
		}
	})
}

func TestLostContextIsConnectedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree, d := testTree(t, nil)
		l := connect(t, tree, "c")
		if l.Err() != nil {
			t.Error(l.Err())
		}
		d.remote("a").lose(errors.New("connection reset by peer"))
		<-l.Done()
		if err := l.Err(); err == nil || err.Error() != "lost c: parent lost" || !errors.Is(err, router.ErrLost) {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		l2 := connect(t, tree, "c")
		if d.log() != "a b c a b c" || l2.Err() != nil {
			t.Errorf("dialled %s, %v", d.log(), l2.Err())
		}
		l.Release()
		time.Sleep(time.Hour)
		if nodeNames(tree) != "a b c" {
			t.Errorf("an old lease took the new context: %s", nodeNames(tree))
		}
		l2.Release()
	})
}

// The parent is lost while the child is being connected through it.
func TestParentLostDuringDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d *fakeDialer
		first := true
		tree, d := testTree(t, func(_ context.Context, via remote, s step) error {
			if s.target.Name == "b" && first {
				first = false
				via.(*fakeRemote).lose(errors.New("reset"))
				return &router.LostError{Name: "a", Cause: errors.New("reset")}
			}
			return nil
		})
		connect(t, tree, "b").Release()
		if d.log() != "a b a b" {
			t.Errorf("dialled %s", d.log())
		}
	})
}

func TestSilentAgentIsDisconnected(t *testing.T) {
	for pings, text := range map[time.Duration]string{defaultKeepalive: "45s", 2 * time.Second: "6s"} {
		synctest.Test(t, func(t *testing.T) {
			tree, d := testTree(t, nil)
			tree.pings = pings
			l := connect(t, tree, "a")
			defer l.Release()
			time.Sleep(10 * time.Minute)
			if l.Err() != nil {
				t.Fatal(l.Err())
			}
			d.remote("a").mute.Store(true)
			start := time.Now()
			<-l.Done()
			if took, silence := time.Since(start), keepaliveMisses*pings; took < silence || took > silence+pings {
				t.Errorf("took %v", took)
			}
			var silent *UnreachableError
			if err := l.Err(); err == nil || err.Error() != "lost a: no answer for "+text || !errors.As(err, &silent) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAgentThatNeverAnswersIsNotUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree, _ := testTree(t, nil)
		start := time.Now()
		_, err := tree.Connect(context.Background(), dest(t, "mute"))
		if err == nil || err.Error() != "dial mute: not connected after 8s" || time.Since(start) != 8*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

func TestAccounts(t *testing.T) {
	tests := []struct{ dest, want string }{ // the context, or the error
		{"a", "a"},
		{"me@a", "a"},
		{"deploy@a", `no account "deploy" on a; try me@a`},
		{"root@a", `no account "root" on a; try me@a`},
		{"root", "root"},
		{"root@root", "root"},
		{"deploy@root", "root+setuid.deploy"},
		{"deploy@b", "b+sudo.deploy"},
		{"root@b", "b+sudo.root"},
		{"b+sudo", "b+sudo"},
		{"deploy@b+sudo", "b+sudo+setuid.deploy"},
		{"deploy@b+docker.x", `no account "deploy" on b+docker.x; try me@b+docker.x`},
		{"-x@a", `account "-x": no name of an account`},
		{"a b@a", `account "a b": no name of an account`},
		{"a:b@a", `account "a:b": no name of an account`},
		{"#0@b", `account "#0": no name of an account`},
		{"0@b", `account "0": no name of an account`},
		{"toor@b", `account "toor" on b is "root"; ask for it by that name`},
		{"toor@root", `account "toor" on root is "root"; ask for it by that name`},
	}
	for _, tt := range tests {
		t.Run(tt.dest, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tree, _ := testTree(t, nil)
				l, err := tree.Connect(context.Background(), dest(t, tt.dest))
				if err != nil {
					if err.Error() != tt.want {
						t.Errorf("got %v, want %s", err, tt.want)
					}
				} else {
					defer l.Release()
					if l.Target().String() != tt.want {
						t.Errorf("got %s, want %s", l.Target(), tt.want)
					}
				}
				for _, n := range tree.Nodes() {
					if n.Sessions > 0 && n.Name != tt.want {
						t.Errorf("%s is leased", n.Name)
					}
				}
			})
		})
	}
}

func TestUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree, d := testTree(t, nil)
		leased, other := connect(t, tree, "b"), connect(t, tree, "root")
		connect(t, tree, "c").Release()
		other.Release()

		targets := testTargets()
		targets["b"] = TargetConfig{Spec: exec("B"), Via: "a"}
		delete(targets, "root")
		targets["broken"] = TargetConfig{}
		if err := tree.Update(targets); err == nil {
			t.Fatal("a broken inventory is taken")
		}
		synctest.Wait()
		if nodeNames(tree) != "a root b c" {
			t.Fatalf("a refused update has changed something: %s", nodeNames(tree))
		}
		delete(targets, "broken")
		if err := tree.Update(targets); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if nodeNames(tree) != "a b" || leased.Err() != nil {
			t.Errorf("after: %s, %v", nodeNames(tree), leased.Err())
		}
		if _, err := tree.Connect(context.Background(), dest(t, "root")); !errors.Is(err, ErrNoTarget) {
			t.Errorf("a removed target: %v", err)
		}
		l := connect(t, tree, "b")
		if d.log() != "a b root c b" || nodeNames(tree) != "a b b" {
			t.Errorf("dialled %s; %s", d.log(), nodeNames(tree))
		}
		leased.Release()
		synctest.Wait()
		if nodeNames(tree) != "a b" || l.Err() != nil {
			t.Errorf("at last: %s, %v", nodeNames(tree), l.Err())
		}
		l.Release()
	})
}

func TestNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree, _ := testTree(t, nil)
		l1, l2 := connect(t, tree, "b"), connect(t, tree, "b")
		defer l1.Release()
		defer l2.Release()
		time.Sleep(time.Minute)
		nodes := tree.Nodes()
		if len(nodes) != 2 {
			t.Fatalf("got %+v", nodes)
		}
		a, b := nodes[0], nodes[1]
		if a.Name != "a" || a.ID == 0 || a.Parent != 0 || a.Sessions != 0 || a.RTT != time.Millisecond {
			t.Errorf("got %+v", a)
		}
		if b.Parent != a.ID || b.Method != "exec" || b.Platform != "linux/amd64" || b.User != "me" || b.Sessions != 2 || b.State != "up" || time.Since(b.Since) != time.Minute {
			t.Errorf("got %+v", b)
		}
	})
}

func TestCloseEndsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree, d := testTree(t, func(ctx context.Context, _ remote, s step) error {
			if s.target.Name == "c" {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		})
		l := connect(t, tree, "b")
		waiting := make(chan error, 1)
		go func() {
			_, err := tree.Connect(context.Background(), dest(t, "c"))
			waiting <- err
		}()
		synctest.Wait()
		var order []string
		for _, name := range []string{"a", "b"} {
			r := d.remote(name)
			go func() {
				<-r.lost
				d.mu.Lock()
				defer d.mu.Unlock()
				order = append(order, name)
			}()
		}
		if err := tree.Close(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if got := strings.Join(order, " "); got != "b a" {
			t.Errorf("ended in order %s", got)
		}
		if err := <-waiting; !errors.Is(err, ErrTreeClosed) {
			t.Errorf("who waits gets %v", err)
		}
		if err := l.Err(); !errors.Is(err, ErrTreeClosed) {
			t.Errorf("who has a lease gets %v", err)
		}
		if _, err := tree.Connect(context.Background(), dest(t, "a")); !errors.Is(err, ErrTreeClosed) {
			t.Errorf("who comes gets %v", err)
		}
		l.Release()
	})
}

// An agent that names another target's context as its child gets no sessions there, nor is that one ended.
func TestAgentCannotNameTheContextOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree, _ := testTree(t, nil)
		victim := connect(t, tree, "b")
		defer victim.Release()
		_, err := tree.Connect(context.Background(), dest(t, "evil"))
		if err == nil || !strings.Contains(err.Error(), "dial evil via a: agent names context 2, which is b") {
			t.Errorf("got %v", err)
		}
		if victim.Err() != nil {
			t.Error(victim.Err())
		}
	})
}

func TestErrorsAreOneHarmlessLine(t *testing.T) {
	err := &DialError{"web1", "", &router.CallError{Type: "fakessh.EofError", Text: "bad\r\nthing \x1b[2J"}}
	if got := err.Error(); got != "dial web1: bad; thing ?[2J" {
		t.Errorf("%q", got)
	}
}

// Many who come, use and go, while contexts are lost and the inventory changes: nothing is left, nobody hangs.
func TestTreeUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree, d := testTree(t, func(_ context.Context, _ remote, s step) error { time.Sleep(7 * time.Millisecond); return nil })
		var wg sync.WaitGroup
		names := []string{"a", "b", "c", "deep", "root", "b+sudo", "x@root", "quick"}
		for i := range 40 {
			wg.Go(func() {
				for j := range 50 {
					ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+(i*j)%60)*time.Millisecond)
					if l, err := tree.Connect(ctx, dest(t, names[(i+j)%len(names)])); err == nil {
						time.Sleep(time.Duration(i+j) % 5 * time.Millisecond)
						l.Release()
					}
					cancel()
				}
			})
		}
		wg.Go(func() {
			for i := range 100 {
				time.Sleep(3 * time.Millisecond)
				if r := d.remote([]string{"a", "b", "root"}[i%3]); r != nil {
					r.lose(errors.New("cut"))
				}
				if i%10 == 0 {
					targets := testTargets()
					if i%20 == 0 {
						targets["b"] = TargetConfig{Spec: exec("other"), Via: "a"}
					}
					if err := tree.Update(targets); err != nil {
						t.Error(err)
					}
				}
			}
		})
		wg.Wait()
		time.Sleep(time.Hour)
		if names := nodeNames(tree); names != "" {
			t.Errorf("left after an idle hour: %s", names)
		}
		tree.mu.Lock()
		defer tree.mu.Unlock()
		if len(tree.nodes) != 0 || len(tree.alive) != 0 {
			t.Errorf("left: %d and %d", len(tree.nodes), len(tree.alive))
		}
	})
}
