package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"fakessh/integration/bed"
)

// way is one path that the tools are sent along.
type way struct {
	name string
	host string // as ssh, scp and rsync take it
	dir  string // where files land there
	run  string // "fakesshd run" instead of the gateway: the target
}

func (s *suite) ways() []way {
	return []way{
		{name: "ssh -J", host: "j", dir: "/home/" + bed.Ann + "/in"},
		{name: "ssh direct", host: "direct", dir: "/home/" + bed.Ann + "/in"},
		{name: "gateway, ssh target", host: "web1@gw", dir: "/home/" + bed.Ann + "/in"},
		{name: "gateway, container", host: "app@gw", dir: "/srv/in"},
		{name: "gateway, local", host: "local@gw", dir: s.Path("in")},
		{name: "fakesshd run, ssh target", host: "web1", dir: "/home/" + bed.Ann + "/in", run: "web1"},
		{name: "fakesshd run, container", host: "app", dir: "/srv/in", run: "app"},
	}
}

func (s *suite) groups() []*group {
	gs := []*group{s.fresh(), s.warm()}
	for _, tool := range []string{"rsync", "scp", "sftp"} {
		gs = append(gs, s.bulkGroup(tool, true), s.bulkGroup(tool, false))
	}
	gs = append(gs, s.smallGroup("rsync 20,000 × 4 KiB put", "rsync", s.small), s.smallGroup("scp -r 2,000 × 4 KiB put", "scp", s.few))
	gs = append(gs, s.latency()...)
	return append(gs, s.contexts(), s.memory())
}

// tool is a command line along w; fakesshd run wraps it.
func (s *suite) tool(w way, name string, args ...string) *exec.Cmd {
	var argv []string
	if w.run != "" {
		bin, _ := bed.Binary()
		argv = []string{bin, "run", "--config", s.Path("fakesshd.yaml"), w.run, "--", name}
	} else if name == "rsync" {
		argv = []string{"rsync", "-e", "ssh -F " + s.Path("ssh_config")}
	} else {
		argv = []string{name, "-F", s.Path("ssh_config")}
	}
	argv = append(argv, args...)
	return exec.Command(argv[0], argv[1:]...)
}

// remote runs a shell line at the far end of w.
func (s *suite) remote(w way, line string) error { return run(s.tool(w, "ssh", w.host, line)) }

// bulkGroup moves the big file with one tool.
func (s *suite) bulkGroup(tool string, put bool) *group {
	dir := "get"
	if put {
		dir = "put"
	}
	g := &group{name: fmt.Sprintf("%s %s %d MiB", tool, dir, *size), unit: "MB/s", ref: "ssh -J"}
	local := s.Path("out", "bulk")
	for _, w := range s.ways() {
		far := w.dir + "/bulk"
		cmd := func() *exec.Cmd { return s.move(tool, w, put, far, local) }
		g.runs = append(g.runs, &variant{
			name:   w.name,
			before: func() error { return s.ready(w, put, far, local) },
			run:    func() (float64, error) { return rate(fileSize(s.bulk), cmd()) },
		})
	}
	return g
}

// ready empties the receiving end; for a get it makes sure that the file is there.
func (s *suite) ready(w way, put bool, far, local string) error {
	os.Remove(local)
	if err := os.MkdirAll(filepath.Dir(local), 0o755); err != nil {
		return err
	}
	if put {
		return s.remote(w, "rm -rf "+w.dir+"; mkdir -p "+w.dir)
	}
	line := fmt.Sprintf("test -s %s || { mkdir -p %s; head -c %dM /dev/zero >%s; }", far, w.dir, *size, far)
	return s.remote(w, line)
}

func (s *suite) move(tool string, w way, put bool, far, local string) *exec.Cmd {
	from, to := w.host+":"+far, local
	if put {
		from, to = s.bulk, w.host+":"+far
	}
	switch tool {
	case "rsync":
		return s.tool(w, "rsync", "-W", "--inplace", from, to)
	case "sftp":
		batch := fmt.Sprintf("get %s %s\n", far, local)
		if put {
			batch = fmt.Sprintf("put %s %s\n", s.bulk, far)
		}
		cmd := s.tool(w, "sftp", "-q", "-b", "-", w.host)
		cmd.Stdin = strings.NewReader(batch)
		return cmd
	}
	return s.tool(w, "scp", "-q", from, to)
}

// smallGroup sends a directory of small files.
func (s *suite) smallGroup(name, tool, from string) *group {
	g := &group{name: name, unit: "s", ref: "ssh -J"}
	for _, w := range s.ways() {
		g.runs = append(g.runs, &variant{
			name:   w.name,
			before: func() error { return s.ready(w, true, w.dir+"/x", "") },
			run: func() (float64, error) {
				if tool == "rsync" {
					return seconds(s.tool(w, "rsync", "-a", from, w.host+":"+w.dir+"/"))
				}
				return seconds(s.tool(w, "scp", "-q", "-r", from, w.host+":"+w.dir+"/"))
			},
		})
	}
	return g
}

// fresh is `true` with a connection of its own; the tree is up.
func (s *suite) fresh() *group {
	g := &group{name: "fresh ssh … true", unit: "ms", ref: "ssh direct"}
	for _, w := range s.ways() {
		g.runs = append(g.runs, &variant{name: w.name,
			before: func() error { return s.remote(w, "true") },
			run: func() (float64, error) {
				return s.trueTime(10, func() *exec.Cmd { return s.tool(w, "ssh", w.host, "true") })
			}})
	}
	return g
}

// trueTime is the mean of n runs, ms.
func (s *suite) trueTime(n int, cmd func() *exec.Cmd) (float64, error) {
	var sum float64
	for range n {
		t, err := seconds(cmd())
		if err != nil {
			return 0, err
		}
		sum += t
	}
	return sum / float64(n) * 1000, nil
}

// warm is `true` over a live ControlMaster.
func (s *suite) warm() *group {
	g := &group{name: "warm ssh … true (ControlMaster)", unit: "ms", ref: "sshd"}
	for _, h := range [][2]string{{"sshd", "mux"}, {"gateway, ssh target", "gwmux"}} {
		sock := s.Path("cm-" + h[1])
		g.runs = append(g.runs, &variant{name: h[0],
			before: func() error {
				if _, err := os.Stat(sock); err == nil {
					return nil
				}
				return run(s.Tool("ssh", "-o", "ControlPath="+sock, "-o", "ControlMaster=yes", "-o", "ControlPersist=120", "-fN", h[1]))
			},
			run: func() (float64, error) {
				return s.trueTime(20, func() *exec.Cmd { return s.Tool("ssh", "-o", "ControlPath="+sock, h[1], "true") })
			}})
	}
	return g
}
