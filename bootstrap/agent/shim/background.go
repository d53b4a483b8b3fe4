package shim

import (
	"os"
	"os/exec"
	"syscall"
)

// envBackground marks the process that -f leaves behind: its descriptor 3 is to be closed when the session has started.
const envBackground = "FAKESSH_BACKGROUND"

// goBackground starts the same command line again in a session of its own, waits until it has started what it is to run, and
// leaves it behind. When it ends before that, its exit status is ours.
func goBackground(args []string) int {
	r, w, err := os.Pipe()
	if err != nil {
		return complain("ssh", err)
	}
	self, err := ownProgram()
	if err != nil {
		return complain("ssh", err)
	}
	cmd := exec.Command(self, args[1:]...)
	cmd.Args[0] = args[0]
	cmd.Env = append(os.Environ(), envBackground+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{w}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return complain("ssh", err)
	}
	w.Close()
	if n, _ := r.Read(make([]byte, 1)); n == 1 {
		return 0
	}
	if err := cmd.Wait(); err == nil {
		return 0
	}
	return cmd.ProcessState.ExitCode()
}

// ownProgram is this program's file, or what the system knows it by when the cache has forgotten its name.
func ownProgram() (string, error) {
	const unlinked = "/proc/self/exe"
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(self); err != nil {
		if _, err := os.Stat(unlinked); err == nil {
			return unlinked, nil
		}
	}
	return self, nil
}

// tellStarted lets the process that waits in goBackground end.
func tellStarted() {
	if os.Getenv(envBackground) == "" {
		return
	}
	w := os.NewFile(3, "started")
	_, _ = w.Write([]byte{1})
	w.Close()
}
