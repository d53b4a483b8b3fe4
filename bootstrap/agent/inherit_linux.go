package agent

import "golang.org/x/sys/unix"

// selfPath opens as this process's image even after that has been unlinked.
func selfPath() string { return "/proc/self/exe" }

// closeOnExec marks what was inherited beyond the standard streams.
func closeOnExec() {
	if unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC) == nil {
		return
	}
	for fd := 3; fd < 256; fd++ {
		unix.CloseOnExec(fd)
	}
}

func replaceFD(from, to int) error { return unix.Dup3(from, to, 0) }
