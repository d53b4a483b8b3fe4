package router

import (
	"encoding/binary"
	"strconv"
)

// ContextID names a context in the tree; the master is 0.
type ContextID uint32

// String is the decimal number.
func (id ContextID) String() string { return strconv.FormatUint(uint64(id), 10) }

// Handle is a numbered mailbox in a context. Handles with the top bit set belong to streams.
type Handle uint32

// Reserved handles (docs/protocol.md section 1.3). Dynamic ones start at 1000.
const (
	HandleGetModule     Handle = 100 // child asks for a module's source
	HandleCallFunction  Handle = 101 // run a function
	HandleForwardLog    Handle = 102 // log record for the master
	HandleAddRoute      Handle = 103 // a context has come
	HandleDelRoute      Handle = 104 // a context has gone
	HandleAllocateID    Handle = 105 // ask the master for 1000 ids
	HandleShutdown      Handle = 106 // stop gracefully
	HandleLoadModule    Handle = 107 // a module's source, or its absence
	HandleForwardModule Handle = 108 // push a module further down
	HandleDetaching     Handle = 109 // a child goes its own way
	HandleCallService   Handle = 110 // run a service method
	HandleStubService   Handle = 111 // Python's own; never served here
	HandleGetResource   Handle = 112 // child asks for package data
	HandleLoadResource  Handle = 113 // package data, or its absence
	firstDynamic        Handle = 1000
	deadMark            Handle = 999 // as reply_to: the message is dead
	streamBit           Handle = 1 << 31
)

// Limits that peers can notice (docs/protocol.md section 1.7).
const (
	idBlock       = 1000      // ids per ALLOCATE_ID
	maxName       = 1024      // bytes of a name in ADD_ROUTE
	masterMessage = 128 << 20 // default payload limit of a master
	childMessage  = 1 << 20   // default payload limit everywhere else, and of a child's link
)

var handleNames = map[Handle]string{
	HandleGetModule: "GET_MODULE", HandleCallFunction: "CALL_FUNCTION", HandleForwardLog: "FORWARD_LOG", HandleAddRoute: "ADD_ROUTE",
	HandleDelRoute: "DEL_ROUTE", HandleAllocateID: "ALLOCATE_ID", HandleShutdown: "SHUTDOWN", HandleLoadModule: "LOAD_MODULE",
	HandleForwardModule: "FORWARD_MODULE", HandleDetaching: "DETACHING", HandleCallService: "CALL_SERVICE", HandleStubService: "STUB_CALL_SERVICE",
	HandleGetResource: "GET_RESOURCE", HandleLoadResource: "LOAD_RESOURCE", deadMark: "DEAD",
}

// String is the protocol's name of a reserved handle, the number of any other.
func (h Handle) String() string {
	if name, ok := handleNames[h]; ok {
		return name
	}
	return strconv.FormatUint(uint64(h), 10)
}

// Magic numbers: the first two bytes of a frame, which also tell the payload's encoding.
const (
	EncodingLegacy uint16 = 0x4d49 // the handle decides; every peer knows it
	EncodingPickle uint16 = 0x4d4a // one or more pickles
	EncodingBinary uint16 = 0x4d4b // raw bytes for the receiver
)

const headerLen = 26

// header is the fixed start of every frame, big endian on the wire.
type header struct {
	magic           uint16
	dst, src, auth  ContextID
	handle, replyTo Handle
	length          uint32
}

func (h *header) isDead() bool { return h.replyTo == deadMark }

func (h *header) isStream() bool { return h.handle&streamBit != 0 }

// flowOf names the flow of the scheduler in which a frame travels.
func flowOf(h *header) flowKey {
	if !h.isStream() || h.isDead() {
		return flowKey{}
	}
	return flowKey{Src: h.src, Handle: h.replyTo}
}

// putHeader writes h to b[:26].
func putHeader(b []byte, h *header) {
	_ = b[headerLen-1]
	be := binary.BigEndian
	be.PutUint16(b[0:], h.magic)
	be.PutUint32(b[2:], uint32(h.dst))
	be.PutUint32(b[6:], uint32(h.src))
	be.PutUint32(b[10:], uint32(h.auth))
	be.PutUint32(b[14:], uint32(h.handle))
	be.PutUint32(b[18:], uint32(h.replyTo))
	be.PutUint32(b[22:], h.length)
}

// parseHeader reads b[:26] into h. It is false when the magic is none of the three.
func parseHeader(b []byte, h *header) bool {
	_ = b[headerLen-1]
	be := binary.BigEndian
	h.magic = be.Uint16(b[0:])
	h.dst = ContextID(be.Uint32(b[2:]))
	h.src = ContextID(be.Uint32(b[6:]))
	h.auth = ContextID(be.Uint32(b[10:]))
	h.handle = Handle(be.Uint32(b[14:]))
	h.replyTo = Handle(be.Uint32(b[18:]))
	h.length = be.Uint32(b[22:])
	return h.magic >= EncodingLegacy && h.magic <= EncodingBinary
}

// The parts of a frame in transit that a router may rewrite.
func setMagic(buf []byte, magic uint16)  { binary.BigEndian.PutUint16(buf, magic) }
func setAuth(buf []byte, auth ContextID) { binary.BigEndian.PutUint32(buf[10:], uint32(auth)) }
