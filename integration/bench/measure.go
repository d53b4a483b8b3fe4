package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"time"
)

// group is one comparison: the cases alternate, ratios are against the first, or the case named ref.
type group struct {
	name string
	unit string // "MB/s" (more is better) or "ms", "s", "MiB" (less is better)
	ref  string
	runs []*variant
}

type variant struct {
	name    string
	run     func() (float64, error)
	before  func() error // untimed, before each round
	samples []float64
	err     error
}

func (g *group) measure(rounds int) {
	for range rounds {
		for _, v := range g.runs {
			if v.err != nil {
				continue
			}
			if v.before != nil {
				if v.err = v.before(); v.err != nil {
					continue
				}
			}
			x, err := v.run()
			if err != nil {
				v.err = err
				continue
			}
			v.samples = append(v.samples, x)
		}
	}
}

func (v *variant) median() float64 {
	s := slices.Sorted(slices.Values(v.samples))
	return s[len(s)/2]
}

// print writes the group as rows of a Markdown table.
func (g *group) print(w io.Writer) {
	var ref float64
	for _, v := range g.runs {
		if len(v.samples) > 0 && (v.name == g.ref || ref == 0) {
			ref = v.median()
		}
	}
	fmt.Fprintf(w, "\n| %s | %s | spread | ratio |\n|---|---|---|---|\n", g.name, g.unit)
	for _, v := range g.runs {
		if v.err != nil || len(v.samples) == 0 {
			fmt.Fprintf(w, "| %s | failed: %v | | |\n", v.name, v.err)
			continue
		}
		m := v.median()
		fmt.Fprintf(w, "| %s | %.4g | %.4g–%.4g | %.2f |\n", v.name, m, slices.Min(v.samples), slices.Max(v.samples), m/ref)
	}
}

// sh runs a shell line and keeps what it printed for the error.
func sh(line string) error {
	cmd := exec.Command("bash", "-c", line)
	return run(cmd)
}

// end kills a program that serves a measurement.
func end(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

func run(cmd *exec.Cmd) error {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = nil, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%v: %w: %s", cmd.Args, err, out.Bytes())
	}
	return nil
}

// seconds times a command.
func seconds(cmd *exec.Cmd) (float64, error) {
	start := time.Now()
	err := run(cmd)
	return time.Since(start).Seconds(), err
}

// rate turns the time of moving n bytes into MB/s.
func rate(n int64, cmd *exec.Cmd) (float64, error) {
	s, err := seconds(cmd)
	if err != nil {
		return 0, err
	}
	return float64(n) / 1e6 / s, nil
}

func fileSize(path string) int64 {
	fi, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return fi.Size()
}
