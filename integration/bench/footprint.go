package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"fakessh/integration/bed"
)

// contexts times a context from nothing: with the image to be uploaded, and cached.
func (s *suite) contexts() *group {
	g := &group{name: "time to a context and `true` in it, gateway just started", unit: "ms", ref: "ssh direct true"}
	g.runs = append(g.runs, &variant{name: "ssh direct true", run: func() (float64, error) {
		return s.trueTime(1, func() *exec.Cmd { return s.Tool("ssh", "direct", "true") })
	}})
	for _, t := range []struct{ name, host, clear string }{
		{"ssh target, uploaded", "web1@gw", "rm -rf /home/" + bed.Ann + "/.cache/fakessh"},
		{"ssh target, cached", "web1@gw", "true"},
		{"container, uploaded", "app@gw", "docker -H " + s.Docker + " exec fk-app rm -rf /root/.cache/fakessh /var/tmp/fakessh*"},
		{"container, cached", "app@gw", "true"},
		{"local, cached", "local@gw", "true"},
	} {
		g.runs = append(g.runs, &variant{name: t.name,
			before: func() error {
				if err := s.RestartGateway(); err != nil {
					return err
				}
				return sh(t.clear)
			},
			run: func() (float64, error) {
				return s.trueTime(1, func() *exec.Cmd { return s.Tool("ssh", t.host, "true") })
			}})
	}
	return g
}

// idleSessions is how many sessions the memory figures are taken over.
const idleSessions = 50

// memory is what the gateway grows by for each idle session, and what an agent takes.
func (s *suite) memory() *group {
	g := &group{name: fmt.Sprintf("memory (%d idle sessions, one connection each)", idleSessions), unit: "MiB", ref: "sshd, per session (PSS)"}
	g.runs = []*variant{
		{name: "sshd, per session (PSS)", run: func() (float64, error) {
			return s.growth("direct", func() (float64, error) { return pss("sshd") })
		}},
		{name: "gateway, per session (PSS)", run: func() (float64, error) {
			return s.growth("web1@gw", func() (float64, error) { return pssOf(s.GatewayPID()) })
		}},
		{name: "agent, whole (PSS)", run: func() (float64, error) { return s.agentMemory() }},
	}
	return g
}

// growth opens idle sessions and returns the growth for each.
func (s *suite) growth(host string, measure func() (float64, error)) (float64, error) {
	if err := run(s.Tool("ssh", host, "true")); err != nil {
		return 0, err
	}
	before, err := measure()
	if err != nil {
		return 0, err
	}
	var cmds []*exec.Cmd
	defer func() {
		for _, c := range cmds {
			end(c)
		}
	}()
	for range idleSessions {
		c := s.Tool("ssh", host, "exec sleep 60")
		if err := c.Start(); err != nil {
			return 0, err
		}
		cmds = append(cmds, c)
	}
	time.Sleep(10 * time.Second) // 50 key exchanges on two cores
	after, err := measure()
	return (after - before) / idleSessions, err
}

// agentMemory is the mean of all agents of this machine.
func (s *suite) agentMemory() (float64, error) {
	pids, err := exec.Command("pgrep", "-f", "^[^ ]*fakessh[^ ]* agent ").Output()
	if err != nil {
		return 0, fmt.Errorf("pgrep: %w", err)
	}
	var sum float64
	list := strings.Fields(string(pids))
	for _, p := range list {
		pid, _ := strconv.Atoi(p)
		m, err := pssOf(pid)
		if err != nil {
			return 0, err
		}
		sum += m
	}
	return sum / float64(len(list)), nil
}

// pss sums the proportional set size of every process of that name, MiB.
func pss(name string) (float64, error) {
	pids, _ := exec.Command("pgrep", "-x", name).Output()
	var sum float64
	for _, p := range strings.Fields(string(pids)) {
		pid, _ := strconv.Atoi(p)
		if m, err := pssOf(pid); err == nil { // it may have ended meanwhile
			sum += m
		}
	}
	return sum, nil
}

func pssOf(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	for _, line := range strings.Split(string(text), "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "Pss:" {
			kb, err := strconv.ParseFloat(f[1], 64)
			return kb / 1024, err
		}
	}
	return 0, fmt.Errorf("no Pss of %d", pid)
}
