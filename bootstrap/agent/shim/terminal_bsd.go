//go:build unix && !linux

package shim

import "golang.org/x/sys/unix"

const (
	getTermios      = unix.TIOCGETA
	setTermiosDrain = unix.TIOCSETAW
	inputUTF8       = 0
	disabledChar    = 0xff
)

// lineSpeed is the terminal's speed in bits per second.
func lineSpeed(t *unix.Termios) uint32 { return uint32(t.Ospeed) }
