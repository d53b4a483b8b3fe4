package shim

import (
	"encoding/binary"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"fakessh/bootstrap/agent/session"
)

// isTerminal reports whether fd is a terminal.
func isTerminal(fd int) bool {
	_, err := unix.IoctlGetTermios(fd, getTermios)
	return err == nil
}

// terminal is the user's own terminal, on fd. Its methods are safe for concurrent use.
type terminal struct {
	fd    int
	mu    sync.Mutex
	saved *unix.Termios // not nil while raw
}

// raw puts the terminal in raw mode, as OpenSSH does it. Without effect while it is.
func (t *terminal) raw() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.saved != nil {
		return
	}
	before, err := unix.IoctlGetTermios(t.fd, getTermios)
	if err != nil {
		return
	}
	m := *before
	m.Iflag |= unix.IGNPAR
	m.Iflag &^= unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON | unix.IXANY | unix.IXOFF
	m.Lflag &^= unix.ISIG | unix.ICANON | unix.ECHO | unix.ECHOE | unix.ECHOK | unix.ECHONL | unix.IEXTEN
	m.Oflag &^= unix.OPOST
	m.Cc[unix.VMIN], m.Cc[unix.VTIME] = 1, 0
	if unix.IoctlSetTermios(t.fd, setTermiosDrain, &m) == nil {
		t.saved = before
	}
}

// restore undoes raw.
func (t *terminal) restore() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.saved != nil {
		_ = unix.IoctlSetTermios(t.fd, setTermiosDrain, t.saved)
		t.saved = nil
	}
}

// sizeOf is the size of the terminal fd, zero if it is none.
func sizeOf(fd int) session.Size {
	ws, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
	if err != nil {
		return session.Size{}
	}
	return session.Size{Columns: uint32(ws.Col), Rows: uint32(ws.Row), Width: uint32(ws.Xpixel), Height: uint32(ws.Ypixel)}
}

// request asks for a terminal like the one on fd.
func request(fd int) *session.PTY {
	p := &session.PTY{Term: os.Getenv("TERM"), Size: sizeOf(fd)}
	if t, err := unix.IoctlGetTermios(fd, getTermios); err == nil {
		p.Modes = encodeModes(t)
	}
	return p
}

// A mode of RFC 4254 section 8 is a control character, or a bit in one of the words of termios.
type modeBit struct {
	op  byte
	bit uint32
}

var (
	modeChars = [...]struct {
		op   byte
		char int
	}{
		{1, unix.VINTR}, {2, unix.VQUIT}, {3, unix.VERASE}, {4, unix.VKILL}, {5, unix.VEOF}, {6, unix.VEOL}, {7, unix.VEOL2},
		{8, unix.VSTART}, {9, unix.VSTOP}, {10, unix.VSUSP}, {12, unix.VREPRINT}, {13, unix.VWERASE}, {14, unix.VLNEXT}, {18, unix.VDISCARD},
	}
	inputModes = [...]modeBit{
		{30, unix.IGNPAR}, {31, unix.PARMRK}, {32, unix.INPCK}, {33, unix.ISTRIP}, {34, unix.INLCR}, {35, unix.IGNCR},
		{36, unix.ICRNL}, {38, unix.IXON}, {39, unix.IXANY}, {40, unix.IXOFF}, {41, unix.IMAXBEL}, {42, inputUTF8},
	}
	localModes = [...]modeBit{
		{50, unix.ISIG}, {51, unix.ICANON}, {53, unix.ECHO}, {54, unix.ECHOE}, {55, unix.ECHOK}, {56, unix.ECHONL}, {57, unix.NOFLSH},
		{58, unix.TOSTOP}, {59, unix.IEXTEN}, {60, unix.ECHOCTL}, {61, unix.ECHOKE}, {62, unix.PENDIN},
	}
	outputModes = [...]modeBit{
		{70, unix.OPOST}, {72, unix.ONLCR}, {73, unix.OCRNL}, {74, unix.ONOCR}, {75, unix.ONLRET},
	}
	controlModes = [...]modeBit{{92, unix.PARENB}, {93, unix.PARODD}}
)

// encodeModes encodes t as RFC 4254 section 8 has it.
func encodeModes(t *unix.Termios) []byte {
	var out []byte
	add := func(op byte, arg uint32) { out = binary.BigEndian.AppendUint32(append(out, op), arg) }
	bits := func(word uint64, modes []modeBit) {
		for _, m := range modes {
			if m.bit != 0 {
				add(m.op, bit(word&uint64(m.bit) != 0))
			}
		}
	}
	speed := lineSpeed(t)
	add(128, speed)
	add(129, speed)
	for _, c := range modeChars {
		char := uint32(t.Cc[c.char])
		if t.Cc[c.char] == disabledChar {
			char = 255
		}
		add(c.op, char)
	}
	bits(uint64(t.Iflag), inputModes[:])
	bits(uint64(t.Lflag), localModes[:])
	bits(uint64(t.Oflag), outputModes[:])
	add(90, bit(t.Cflag&unix.CSIZE == unix.CS7))
	add(91, bit(t.Cflag&unix.CSIZE == unix.CS8))
	bits(uint64(t.Cflag), controlModes[:])
	return append(out, 0)
}

func bit(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}
