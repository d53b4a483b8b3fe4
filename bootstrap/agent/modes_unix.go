//go:build unix

package agent

import (
	"golang.org/x/sys/unix"
)

// flagWord says which word of termios a flag lives in.
type flagWord byte

const (
	iflag flagWord = iota
	oflag
	lflag
	cflag
)

type modeFlag struct {
	word flagWord
	bit  uint64
}

// modeFlags are the single-bit modes of RFC 4254 section 8 that every system here has;
// the system's own are added by systemFlags.
var modeFlags = map[byte]modeFlag{
	30: {iflag, unix.IGNPAR}, 31: {iflag, unix.PARMRK}, 32: {iflag, unix.INPCK}, 33: {iflag, unix.ISTRIP},
	34: {iflag, unix.INLCR}, 35: {iflag, unix.IGNCR}, 36: {iflag, unix.ICRNL}, 38: {iflag, unix.IXON},
	39: {iflag, unix.IXANY}, 40: {iflag, unix.IXOFF}, 41: {iflag, unix.IMAXBEL},
	50: {lflag, unix.ISIG}, 51: {lflag, unix.ICANON}, 53: {lflag, unix.ECHO}, 54: {lflag, unix.ECHOE},
	55: {lflag, unix.ECHOK}, 56: {lflag, unix.ECHONL}, 57: {lflag, unix.NOFLSH}, 58: {lflag, unix.TOSTOP},
	59: {lflag, unix.IEXTEN}, 60: {lflag, unix.ECHOCTL}, 61: {lflag, unix.ECHOKE}, 62: {lflag, unix.PENDIN},
	70: {oflag, unix.OPOST}, 72: {oflag, unix.ONLCR}, 73: {oflag, unix.OCRNL}, 74: {oflag, unix.ONOCR}, 75: {oflag, unix.ONLRET},
	92: {cflag, unix.PARENB}, 93: {cflag, unix.PARODD},
}

// modeChars are the control characters, by opcode.
var modeChars = map[byte]int{
	1: unix.VINTR, 2: unix.VQUIT, 3: unix.VERASE, 4: unix.VKILL, 5: unix.VEOF, 6: unix.VEOL, 7: unix.VEOL2,
	8: unix.VSTART, 9: unix.VSTOP, 10: unix.VSUSP, 12: unix.VREPRINT, 13: unix.VWERASE, 14: unix.VLNEXT, 18: unix.VDISCARD,
}

// applyModes sets modes in t, as tty_parse_modes of sshd does: unknown opcodes are ignored.
func applyModes(t *unix.Termios, modes []terminalMode) {
	for _, m := range modes {
		switch m.op {
		case opISpeed:
			setInputSpeed(t, m.arg)
		case opOSpeed:
			setOutputSpeed(t, m.arg)
		case 90: // CS7
			setSize(t, m.arg, unix.CS7)
		case 91: // CS8
			setSize(t, m.arg, unix.CS8)
		default:
			applyMode(t, m)
		}
	}
}

func applyMode(t *unix.Termios, m terminalMode) {
	char, ok := modeChars[m.op]
	if !ok {
		char, ok = systemChars[m.op]
	}
	if ok {
		t.Cc[char] = controlChar(m.arg)
		return
	}
	flag, ok := modeFlags[m.op]
	if !ok {
		flag, ok = systemFlags[m.op]
	}
	if !ok {
		return
	}
	switch flag.word {
	case iflag:
		setFlag(&t.Iflag, flag.bit, m.arg)
	case oflag:
		setFlag(&t.Oflag, flag.bit, m.arg)
	case lflag:
		setFlag(&t.Lflag, flag.bit, m.arg)
	case cflag:
		setFlag(&t.Cflag, flag.bit, m.arg)
	}
}

func setFlag[T uint32 | uint64](word *T, bit uint64, arg uint32) {
	if arg != 0 {
		*word |= T(bit)
	} else {
		*word &^= T(bit)
	}
}

// setSize sets the character size: as in sshd, an argument of 0 changes nothing.
func setSize[T uint32 | uint64 | int](t *unix.Termios, arg uint32, size T) {
	if arg != 0 {
		t.Cflag = t.Cflag&^unix.CSIZE | flagBits(size)
	}
}

func controlChar(arg uint32) byte {
	if arg == modeDisabled {
		return vdisable
	}
	return byte(arg)
}
