package session

import (
	"encoding/binary"
	"errors"
)

// Out-of-band item kinds of a session's stream.
const (
	ItemSize   byte = 'w' // client → agent: Size, 4 × uint32 big endian
	ItemSignal byte = 's' // client → agent: signal name without "SIG"
	ItemBreak  byte = 'b' // client → agent: milliseconds, uint32
	ItemExit   byte = 'x' // agent → client: Exit, the last item
	ItemStop   byte = 'o' // client → agent: nobody reads an output any more: its router.Class. A program that writes on gets SIGPIPE
	ItemInvoke byte = 'i' // agent → client: a shim was started (Spec.Shim)
	ItemAccept byte = 'c' // agent → client: a connection has come (Spec.Agent, Listen)
	ItemAnswer byte = 'a' // client → agent: what was announced so is not wanted
)

const (
	maxSignal  = 32
	maxMessage = 1024
)

var errItem = errors.New("session: malformed item")

// AppendSize appends the wire form of s to dst.
func AppendSize(dst []byte, s Size) []byte {
	for _, n := range [...]uint32{s.Columns, s.Rows, s.Width, s.Height} {
		dst = binary.BigEndian.AppendUint32(dst, n)
	}
	return dst
}

// ParseSize reads what AppendSize wrote.
func ParseSize(data []byte) (Size, error) {
	if len(data) != 16 {
		return Size{}, errItem
	}
	n := func(i int) uint32 { return binary.BigEndian.Uint32(data[4*i:]) }
	return Size{Columns: n(0), Rows: n(1), Width: n(2), Height: n(3)}, nil
}

// ParseSignal reads a signal's name: upper case letters, digits, and what follows "@"
// in local names (RFC 4254 section 6.10).
func ParseSignal(data []byte) (string, error) {
	if len(data) == 0 || len(data) > maxSignal {
		return "", errItem
	}
	for _, c := range data {
		if c <= ' ' || c > '~' {
			return "", errItem
		}
	}
	return string(data), nil
}

// AppendAsk appends to dst the data of an item about something that waits in an agent for a stream: of an ItemInvoke, with the origin
// of an ItemAccept, or with the reason of an ItemAnswer.
func AppendAsk(dst []byte, id uint64, text string) []byte {
	return append(binary.BigEndian.AppendUint64(dst, id), text[:min(len(text), maxMessage)]...)
}

// ParseAsk reads what AppendAsk wrote.
func ParseAsk(data []byte) (id uint64, text string, err error) {
	if len(data) < 8 || len(data) > 8+maxMessage {
		return 0, "", errItem
	}
	return binary.BigEndian.Uint64(data), string(data[8:]), nil
}

// AppendExit appends the wire form of x to dst: status uint32, core byte, length of
// the signal's name, the name, the message. Overlong texts are cut.
func AppendExit(dst []byte, x Exit) []byte {
	signal, message := x.Signal, x.Message
	signal = signal[:min(len(signal), maxSignal)]
	message = message[:min(len(message), maxMessage)]
	dst = binary.BigEndian.AppendUint32(dst, x.Status)
	core := byte(0)
	if x.Core {
		core = 1
	}
	dst = append(dst, core, byte(len(signal)))
	dst = append(dst, signal...)
	return append(dst, message...)
}

// ParseExit reads what AppendExit wrote.
func ParseExit(data []byte) (Exit, error) {
	if len(data) < 6 {
		return Exit{}, errItem
	}
	n := int(data[5])
	if data[4] > 1 || n > maxSignal || len(data) < 6+n || len(data) > 6+n+maxMessage {
		return Exit{}, errItem
	}
	return Exit{
		Status:  binary.BigEndian.Uint32(data),
		Core:    data[4] == 1,
		Signal:  string(data[6 : 6+n]),
		Message: string(data[6+n:]),
	}, nil
}
