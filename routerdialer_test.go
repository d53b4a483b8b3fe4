package fakessh

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fakessh/methods"
)

// A target writes what it likes to the stderr of the tool that leads to it; it does not fill the disk with it.
func TestToolLogIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := toolLog(slog.New(slog.NewTextHandler(&out, nil)))
		for range 200_000 {
			log(strings.Repeat("x", 10_000))
		}
		if n := bytes.Count(out.Bytes(), []byte("\n")); n != methods.LogBurst+1 || out.Len() > 200<<10 {
			t.Errorf("%d lines, %d bytes", n, out.Len())
		}
		if !strings.Contains(out.String(), "lines are left out") {
			t.Error("nothing says so")
		}
		out.Reset()
		time.Sleep(time.Second)
		log("and on")
		if got := out.String(); !strings.Contains(got, "count=199900") || !strings.Contains(got, `line="and on"`) {
			t.Errorf("got %s", got)
		}
	})
}
