package router

import (
	"encoding/binary"
	"strings"
	"unicode/utf8"
)

// kind is the first payload byte of a stream frame (docs/protocol.md section 2.2). Append only.
type kind byte

const (
	kindData     kind = 0 // bytes of class Main
	kindExtended kind = 1 // bytes of class Extended
	kindCredit   kind = 2 // received, allowed: uint64 each
	kindEOF      kind = 3 // no more data
	kindReset    kind = 4 // both directions end now; a reason
	kindControl  kind = 5 // an out-of-band item

	kindOptional kind = 0x80 // from here on a receiver ignores what it does not know
	kindBlocked  kind = 0x80 // the sender waits for credit
)

// Limits of stream frames (docs/protocol.md section 2.2).
const (
	frameSpace  = headerLen + 1 // in front of the data
	maxData     = 32 << 10
	creditLen   = 1 + 16
	maxReason   = 1024
	maxItem     = 4096
	maxItems    = 256
	maxItemHeap = 64 << 10
)

// What a stream is reset with when the peer breaks the protocol (docs/protocol.md section 2.6).
const (
	reasonMalformed   = "malformed stream frame"
	reasonUnknownKind = "unknown kind of stream frame"
	reasonTooLong     = "stream frame too long"
	reasonFlowControl = "flow control violated"
	reasonAfterEOF    = "data after EOF"
	reasonSecondEOF   = "second EOF"
	reasonManyItems   = "too many control items"
	reasonOverrun     = "circuit overrun"
)

// streamFrame makes a frame of kind k with n bytes after the kind, for the caller to fill.
func newStreamFrame(k kind, n int) []byte {
	buf := getBuf(frameSpace + n)
	buf[headerLen] = byte(k)
	return buf
}

func newCreditFrame(received, allowed int64) []byte {
	buf := newStreamFrame(kindCredit, 16)
	binary.BigEndian.PutUint64(buf[frameSpace:], uint64(received))
	binary.BigEndian.PutUint64(buf[frameSpace+8:], uint64(allowed))
	return buf
}

// parseCredit reads the payload of a CREDIT frame, its kind included.
func parseCredit(payload []byte) (received, allowed uint64, ok bool) {
	if len(payload) != creditLen {
		return 0, 0, false
	}
	return binary.BigEndian.Uint64(payload[1:]), binary.BigEndian.Uint64(payload[9:]), true
}

func newResetFrame(reason string) []byte {
	reason = cutReason(reason)
	buf := newStreamFrame(kindReset, len(reason))
	copy(buf[frameSpace:], reason)
	return buf
}

// cutReason makes a reason fit for the wire, or one from the wire fit for people: valid UTF-8 of at most maxReason bytes.
func cutReason(reason string) string {
	reason = strings.ToValidUTF8(reason, "\ufffd")
	if len(reason) <= maxReason {
		return reason
	}
	n := maxReason
	for !utf8.RuneStart(reason[n]) {
		n--
	}
	return reason[:n]
}

// checkPayload is what is wrong with a stream frame's payload in itself; "" if nothing is.
func checkPayload(payload []byte) string {
	if len(payload) == 0 {
		return reasonMalformed
	}
	n := len(payload) - 1
	switch k := kind(payload[0]); {
	case k >= kindOptional && n > maxData:
		return reasonTooLong
	case k >= kindOptional:
		return ""
	case k > kindControl:
		return reasonUnknownKind
	case k == kindCredit && n != creditLen-1, k == kindEOF && n != 0, (k <= kindExtended || k == kindControl) && n == 0:
		return reasonMalformed
	case k <= kindExtended && n > maxData, k == kindControl && n > 1+maxItem, k == kindReset && n > maxReason:
		return reasonTooLong
	}
	return ""
}
