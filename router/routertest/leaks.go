package routertest

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"fakessh/router"
)

func echo(_ context.Context, c *router.Call) (any, error) { return c.Args, nil }

// Leaks makes the test fail if, when all its other cleanups have run, a goroutine is left that runs code of this
// module. Call it first, and not in parallel tests.
func Leaks(t testing.TB) {
	t.Helper()
	t.Cleanup(func() {
		var left []string
		for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			if left = ours(); len(left) == 0 {
				return
			}
		}
		t.Errorf("%d goroutines are left:\n%s", len(left), strings.Join(left, "\n\n"))
	})
}

// ours lists the goroutines of this module except for the calling one.
func ours() []string {
	buf := make([]byte, 1<<20)
	all := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
	var some []string
	for _, g := range all[1:] {
		if strings.Contains(g, "fakessh/") && !strings.Contains(g, "testing.tRunner") && !strings.Contains(g, "testing.(*T).Run") {
			some = append(some, g)
		}
	}
	return some
}
