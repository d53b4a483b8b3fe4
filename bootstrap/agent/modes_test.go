package agent

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

func encodeModes(modes ...terminalMode) []byte {
	var b []byte
	for _, m := range modes {
		b = append(b, m.op)
		b = binary.BigEndian.AppendUint32(b, m.arg)
	}
	return append(b, opEnd)
}

func TestModesAreApplied(t *testing.T) {
	tio := &unix.Termios{Lflag: unix.ECHO | unix.ICANON, Iflag: unix.ICRNL}
	applyModes(tio, parseModes(encodeModes(
		terminalMode{1, 3}, terminalMode{5, modeDisabled}, // VINTR ^C, VEOF none
		terminalMode{53, 0}, terminalMode{51, 0}, terminalMode{50, 1}, // -ECHO -ICANON ISIG
		terminalMode{36, 0}, terminalMode{38, 1}, terminalMode{91, 1}, // -ICRNL IXON CS8
		terminalMode{159, 7}, terminalMode{128, 38400}, terminalMode{129, 9600},
	)))
	if tio.Cc[unix.VINTR] != 3 || tio.Cc[unix.VEOF] != vdisable {
		t.Errorf("control characters: %v", tio.Cc)
	}
	if tio.Lflag != unix.ISIG || tio.Iflag != unix.IXON || tio.Cflag&unix.CSIZE != unix.CS8 {
		t.Errorf("flags: lflag %#x iflag %#x cflag %#x", tio.Lflag, tio.Iflag, tio.Cflag)
	}
	if tio.Ispeed != 38400 || tio.Ospeed != 9600 {
		t.Errorf("speeds: %d in, %d out", tio.Ispeed, tio.Ospeed)
	}
}

func TestModesStopWhereArgumentsEnd(t *testing.T) {
	data := encodeModes(terminalMode{53, 1})
	for _, tail := range [][]byte{{54, 0, 0}, {opEnd, 54, 0, 0, 0, 1}, {160, 0, 0, 0, 1, 54, 0, 0, 0, 1}} {
		got := parseModes(append(data[:len(data)-1:len(data)-1], tail...))
		if len(got) != 1 || got[0] != (terminalMode{53, 1}) {
			t.Errorf("tail %v: %v", tail, got)
		}
	}
}

func FuzzModes(f *testing.F) {
	f.Add(encodeModes(terminalMode{1, 3}, terminalMode{90, 1}, terminalMode{128, 1 << 31}))
	f.Add([]byte{0})
	f.Add([]byte{255, 1, 2})
	f.Fuzz(func(t *testing.T, data []byte) {
		modes := parseModes(data)
		if len(modes) > len(data)/5 {
			t.Fatalf("%d modes in %d bytes", len(modes), len(data))
		}
		applyModes(&unix.Termios{}, modes)
	})
}
