package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"time"
)

// echoes is how many one-byte round trips make a sample.
const echoes = 400

// latency measures a one-byte echo on a multiplexed connection, idle and while another session on it moves bulk.
func (s *suite) latency() []*group {
	var gs []*group
	for _, load := range []string{"idle", "bulk download", "bulk upload"} {
		for _, stat := range []string{"p50", "p99", "max"} {
			gs = append(gs, &group{name: fmt.Sprintf("echo, %s, %s", load, stat), unit: "ms", ref: "ssh -J"})
		}
		for _, w := range s.ways()[:4] {
			m := &echoMeter{s: s, w: w, load: load}
			for i, g := range gs[len(gs)-3:] {
				v := &variant{name: w.name, run: func() (float64, error) { return m.stat(i) }}
				if i == 0 {
					v.before = m.sample
				}
				g.runs = append(g.runs, v)
			}
		}
	}
	return gs
}

// echoMeter holds the samples of one way under one load; p50, p99 and max come from the same ones.
type echoMeter struct {
	s    *suite
	w    way
	load string
	all  []float64
}

func (m *echoMeter) stat(i int) (float64, error) {
	if len(m.all) == 0 {
		return 0, fmt.Errorf("no samples")
	}
	x := slices.Sorted(slices.Values(m.all))
	return []float64{x[len(x)/2], x[len(x)*99/100], x[len(x)-1]}[i], nil
}

// sample opens a master connection, starts the load and echoes.
func (m *echoMeter) sample() error {
	sock := m.s.Path("cm-echo")
	mux := func(args ...string) *exec.Cmd {
		return m.s.Tool("ssh", append([]string{"-o", "ControlPath=" + sock}, args...)...)
	}
	master := mux("-o", "ControlMaster=yes", "-N", m.w.host)
	if err := master.Start(); err != nil {
		return err
	}
	defer func() { end(master); os.Remove(sock) }()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(sock); err == nil {
			break
		}
		if time.Now().After(end) {
			return fmt.Errorf("no master to %s", m.w.host)
		}
	}
	var load *exec.Cmd
	switch m.load {
	case "bulk download":
		load = mux(m.w.host, "cat /dev/zero")
	case "bulk upload":
		load = mux(m.w.host, "cat >/dev/null")
		zero, err := os.Open("/dev/zero")
		if err != nil {
			return err
		}
		defer zero.Close()
		load.Stdin = zero
	}
	if load != nil {
		if err := load.Start(); err != nil {
			return err
		}
		defer end(load)
		time.Sleep(300 * time.Millisecond)
	}
	return m.echo(mux(m.w.host, "cat"))
}

func (m *echoMeter) echo(cat *exec.Cmd) error {
	in, err := cat.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cat.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cat.Start(); err != nil {
		return err
	}
	defer func() { in.Close(); _ = cat.Wait() }()
	b := []byte{'x'}
	for i := range echoes + 20 {
		start := time.Now()
		if _, err := in.Write(b); err != nil {
			return err
		}
		if _, err := io.ReadFull(out, b); err != nil {
			return err
		}
		if i >= 20 {
			m.all = append(m.all, float64(time.Since(start).Microseconds())/1000)
		}
	}
	return nil
}
