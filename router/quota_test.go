package router_test

import (
	"testing"
	"testing/synctest"
	"time"

	"fakessh/router"
)

func TestQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &router.Quota{Burst: 3, PerSecond: 2}
		take := func(wantOK bool, wantSkipped int) {
			t.Helper()
			if ok, skipped := q.Take(); ok != wantOK || skipped != wantSkipped {
				t.Errorf("got %v, %d, want %v, %d", ok, skipped, wantOK, wantSkipped)
			}
		}
		for range 3 {
			take(true, 0)
		}
		take(false, 1)
		take(false, 2)
		time.Sleep(500 * time.Millisecond)
		take(true, 2)
		take(false, 1)
		time.Sleep(time.Hour) // no more than a burst is saved up
		take(true, 1)
		take(true, 0)
		take(true, 0)
		take(false, 1)
	})
}
