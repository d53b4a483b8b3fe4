package integration

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"fakessh/integration/bed"
)

// footprint counts what a process holds.
type footprint struct{ fds, threads, children int }

func look(pid int) footprint {
	fds, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	out, _ := exec.Command("pgrep", "-P", strconv.Itoa(pid)).Output()
	return footprint{len(fds), len(threads), len(strings.Fields(string(out)))}
}

// TestTenThousandShortCommands runs them over four masters, eight at a time, and looks for what is left.
func TestTenThousandShortCommands(t *testing.T) {
	const n, workers = 10000, 8
	var socks []string
	for i := range 4 {
		sock := b.Path(fmt.Sprintf("cm-short-%d", i))
		master := b.SSH("-o", "ControlPath="+sock, "-o", "ControlMaster=yes", "-N", "web1@gw")
		if err := master.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { master.Process.Kill(); master.Wait() }()
		waitFile(t, sock)
		socks = append(socks, sock)
		ok(t, b.SSH("-o", "ControlPath="+sock, "web1@gw", "true"))
	}
	agent, err := strconv.Atoi(strings.TrimSpace(ok(t, b.SSH("web1@gw", "echo $PPID")).out))
	if err != nil {
		t.Fatal(err)
	}
	gwBefore, agentBefore := look(b.GatewayPID()), look(agent)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n; i += workers {
				cmd := b.SSH("-o", "ControlPath="+socks[w%4], "web1@gw", fmt.Sprintf("exit %d", i%200))
				cmd.Run()
				if code := cmd.ProcessState.ExitCode(); code != i%200 {
					t.Errorf("command %d: exit %d", i, code)
					return
				}
			}
		})
	}
	wg.Wait()
	bed.Eventually(t.Context(), 5*time.Second, func() bool {
		return look(b.GatewayPID()).fds <= gwBefore.fds && look(agent).fds <= agentBefore.fds && look(agent).children <= agentBefore.children
	})
	gw, ag := look(b.GatewayPID()), look(agent)
	if gw.fds > gwBefore.fds || gw.children > gwBefore.children {
		t.Errorf("gateway: %+v before, %+v after", gwBefore, gw)
	}
	if ag.fds > agentBefore.fds || ag.children > agentBefore.children {
		t.Errorf("agent: %+v before, %+v after", agentBefore, ag)
	}
}

// rss is a process's resident memory, MiB.
func rss(pid int) float64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	f := strings.Fields(string(text))
	if len(f) < 2 {
		return 0
	}
	pages, _ := strconv.ParseFloat(f[1], 64)
	return pages * 4 / 1024
}

// TestSlowReaderCostsNoMemory reads a 5 GiB file at 1 MB/s for a minute, then at full speed.
func TestSlowReaderCostsNoMemory(t *testing.T) {
	far := farDir(t, "web1")
	file := far + "/big"
	ok(t, b.SSH("web1@gw", "truncate -s 5G "+file+" && printf end | dd of="+file+" bs=1 seek=5000000000 conv=notrunc status=none"))
	agent, err := strconv.Atoi(strings.TrimSpace(ok(t, b.SSH("web1@gw", "echo $PPID")).out))
	if err != nil {
		t.Fatal(err)
	}
	gwIdle, agentIdle := rss(b.GatewayPID()), rss(agent)
	var gwPeak, agentPeak float64
	watch := func() {
		gwPeak, agentPeak = max(gwPeak, rss(b.GatewayPID())), max(agentPeak, rss(agent))
	}
	cmd := b.SSH("web1@gw", "exec cat "+file)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	seconds := 60
	if testing.Short() {
		seconds = 5
	}
	for range seconds {
		if _, err := io.CopyN(sum, out, 1e6); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		watch()
		if r := ok(t, b.SSH("web1@gw", "true")); r.took > time.Second {
			t.Errorf("another session on the link took %v", r.took)
		}
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { // ends with stop
		for {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
				watch()
			}
		}
	})
	_, err = io.Copy(sum, out)
	close(stop)
	wg.Wait()
	if err != nil || cmd.Wait() != nil {
		t.Fatal(err)
	}
	want := strings.Fields(ok(t, exec.Command("sha256sum", filepath.Clean(file))).out)[0]
	if got := fmt.Sprintf("%x", sum.Sum(nil)); got != want {
		t.Errorf("checksum %s, want %s", got, want)
	}
	t.Logf("above idle: gateway %.1f MiB, agent %.1f MiB", gwPeak-gwIdle, agentPeak-agentIdle)
	if gwPeak-gwIdle > 64 || agentPeak-agentIdle > 64 {
		t.Errorf("above idle: gateway %.1f MiB, agent %.1f MiB", gwPeak-gwIdle, agentPeak-agentIdle)
	}
}
