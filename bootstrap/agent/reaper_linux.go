package agent

import "golang.org/x/sys/unix"

// canLook: the system tells that a child has ended without collecting it.
const canLook = true

// hasEnded reports whether a child has ended, or is none.
func hasEnded(pid int) bool {
	for {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return err != nil || info.Signo != 0
		}
	}
}
