package agent

import "encoding/binary"

// terminalMode is one opcode of RFC 4254 section 8 with its argument.
type terminalMode struct {
	op  byte
	arg uint32
}

// Opcodes that are not in the tables of flags.
const (
	opEnd    = 0
	opISpeed = 128
	opOSpeed = 129
	opLast   = 160 // from here on arguments are undefined: parsing stops
)

// parseModes reads encoded terminal modes. It stops at the end opcode, at an opcode without a
// defined argument, and at a truncated one: what came before is still good, and a
// session is worth more than its last mode.
func parseModes(data []byte) []terminalMode {
	var modes []terminalMode
	for len(data) >= 5 && data[0] != opEnd && data[0] < opLast {
		modes = append(modes, terminalMode{data[0], binary.BigEndian.Uint32(data[1:])})
		data = data[5:]
	}
	return modes
}

// modeDisabled is a control character's value for "none" on the wire.
const modeDisabled = 255
