package shim

import "golang.org/x/sys/unix"

const (
	getTermios      = unix.TCGETS
	setTermiosDrain = unix.TCSETSW
	inputUTF8       = unix.IUTF8
	disabledChar    = 0
)

// lineSpeed is the terminal's speed in bits per second. That of a pseudo-terminal means nothing, but programs like to see one.
func lineSpeed(t *unix.Termios) uint32 {
	switch t.Cflag & unix.CBAUD {
	case unix.B9600:
		return 9600
	case unix.B19200:
		return 19200
	case unix.B57600:
		return 57600
	case unix.B115200:
		return 115200
	}
	return 38400
}
