package integration

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"fakessh/integration/bed"
)

// b is the bed that all tests share.
var b *bed.Bed

// chains are the ways into targets that every promise is tested on.
var chains = []string{
	"local", "local+sudo." + bed.Bob, "web1", "web2+sudo", "app", "sshapp", "far", "hop3",
}

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	flag.Parse()
	if testing.Short() {
		fmt.Println("integration: left out by -short")
		return 0
	}
	if os.Getuid() != 0 {
		fmt.Println("integration: needs root: accounts, sshd and containers are made")
		if os.Getenv("CI") != "" {
			return 1
		}
		return 0
	}
	var err error
	if b, err = bed.New(""); err != nil {
		fmt.Println("integration:", err)
		return 1
	}
	defer b.Close()
	for _, step := range []func() error{b.SSHD, b.Engine, b.Gateway} {
		if err := step(); err != nil {
			fmt.Println("integration:", err)
			return 1
		}
	}
	code := m.Run()
	if code != 0 {
		if log, err := os.ReadFile(b.Path("gateway.log")); err == nil {
			fmt.Printf("--- gateway log, the end\n%s\n", log[max(0, len(log)-6000):])
		}
	}
	return code
}

// result is what a finished program left.
type result struct {
	out, err string
	code     int
	took     time.Duration
}

// limit ends a test's program that hangs.
const limit = 60 * time.Second

// do runs cmd to its end.
func do(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	timer := time.AfterFunc(limit, func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	err := cmd.Wait()
	if !timer.Stop() {
		t.Fatalf("%v: no end after %v\nstdout: %.500s\nstderr: %.2000s", cmd.Args, limit, stdout.Bytes(), stderr.Bytes())
	}
	r := result{out: stdout.String(), err: stderr.String(), took: time.Since(start)}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		r.code = exit.ExitCode()
	} else if err != nil {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	return r
}

// ok runs cmd and wants success.
func ok(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	r := do(t, cmd)
	if r.code != 0 {
		t.Fatalf("%v: exit %d\nstdout: %.500s\nstderr: %.2000s", cmd.Args, r.code, r.out, r.err)
	}
	return r
}

// onChains runs a test for every chain.
func onChains(t *testing.T, f func(t *testing.T, chain string)) {
	for _, c := range chains {
		t.Run(c, func(t *testing.T) { f(t, c) })
	}
}

func writeFile(path, text string) error { return os.WriteFile(path, []byte(text), 0o644) }
