package agent

import (
	"os"

	"golang.org/x/sys/unix"
)

// growPipe makes a pipe 256 KiB large. It may be refused: a user's pipes share a budget.
func growPipe(f *os.File) {
	_ = control(f, func(fd int) error {
		_, err := unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, 256<<10)
		return err
	})
}
