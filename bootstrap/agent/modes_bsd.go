//go:build unix && !linux

package agent

import "golang.org/x/sys/unix"

const (
	getTermios = unix.TIOCGETA
	setTermios = unix.TIOCSETA
	vdisable   = 0xff
)

var systemFlags = map[byte]modeFlag{}

var systemChars = map[byte]int{11: unix.VDSUSP, 17: unix.VSTATUS}
