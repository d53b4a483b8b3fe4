//go:build unix && !linux

package agent

import (
	"os"

	"golang.org/x/sys/unix"
)

func selfPath() string {
	path, _ := os.Executable()
	return path
}

func closeOnExec() {
	for fd := 3; fd < 256; fd++ {
		unix.CloseOnExec(fd)
	}
}

func replaceFD(from, to int) error { return unix.Dup2(from, to) }
