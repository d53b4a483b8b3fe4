package agent

import "golang.org/x/sys/unix"

const (
	getTermios = unix.TCGETS
	setTermios = unix.TCSETS
	vdisable   = 0
)

// systemFlags are the modes that not every system has.
var systemFlags = map[byte]modeFlag{
	37: {iflag, unix.IUCLC}, 42: {iflag, unix.IUTF8}, 52: {lflag, unix.XCASE}, 71: {oflag, unix.OLCUC},
}

var systemChars = map[byte]int{16: unix.VSWTC}

func flagBits[T uint32 | uint64 | int](v T) uint32 { return uint32(v) }

// speeds maps bits per second to the constants of Linux's c_cflag.
var speeds = map[uint32]uint32{
	0: unix.B0, 50: unix.B50, 75: unix.B75, 110: unix.B110, 134: unix.B134, 150: unix.B150, 200: unix.B200, 300: unix.B300,
	600: unix.B600, 1200: unix.B1200, 1800: unix.B1800, 2400: unix.B2400, 4800: unix.B4800, 9600: unix.B9600,
	19200: unix.B19200, 38400: unix.B38400, 57600: unix.B57600, 115200: unix.B115200, 230400: unix.B230400,
	460800: unix.B460800, 500000: unix.B500000, 576000: unix.B576000, 921600: unix.B921600, 1000000: unix.B1000000,
	1152000: unix.B1152000, 1500000: unix.B1500000, 2000000: unix.B2000000, 2500000: unix.B2500000,
	3000000: unix.B3000000, 3500000: unix.B3500000, 4000000: unix.B4000000,
}

// inputShift is where c_cflag keeps the input speed (IBSHIFT in the kernel's headers).
const inputShift = 16

// setOutputSpeed leaves t as it is when the system has no such speed.
func setOutputSpeed(t *unix.Termios, bps uint32) {
	if code, ok := speeds[bps]; ok {
		t.Cflag = t.Cflag&^unix.CBAUD | code
		t.Ospeed = bps
	}
}

func setInputSpeed(t *unix.Termios, bps uint32) {
	if code, ok := speeds[bps]; ok {
		t.Cflag = t.Cflag&^(unix.CBAUD<<inputShift) | code<<inputShift
		t.Ispeed = bps
	}
}
