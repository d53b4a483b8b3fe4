package bootstrap

import (
	"os/exec"
	"slices"
	"testing"
)

// From starting the shell to ready, with the image in the cache or sent.
func BenchmarkStart(b *testing.B) {
	for _, name := range []string{"dash", "bash", "busybox"} {
		b.Run(name+"/cached", func(b *testing.B) { benchmarkStart(b, shells[name], Config{}) })
		b.Run(name+"/uploaded", func(b *testing.B) { benchmarkStart(b, shells[name], Config{NoCache: true}) })
	}
}

func benchmarkStart(b *testing.B, shell []string, cfg Config) {
	f := newFar(b)
	f.cfg = cfg
	f.opt.Local = true
	f.start = func(argv []string) *exec.Cmd {
		return exec.Command(shell[0], slices.Concat(shell[1:], argv[1:])...)
	}
	f.up()
	f.close()
	for b.Loop() {
		if _, err := f.boot(); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		f.close()
		b.StartTimer()
	}
}
