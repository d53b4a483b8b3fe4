package session

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strconv"
	"time"

	"fakessh/router/pickle"
)

// The wire of a control socket: what a shim, or fakesshd itself, says to whoever serves the socket, and hears back.
//
//	asks ──'Q' Invocation, with up to three descriptors──► serves
//	     ──'w' size, 's' signal ──────────────────────────►
//	     ◄─ 'S' started ─ 'x' Exit | 'E' error | 'R' reply…, 'D' done ──
//
// Every message is a kind, which is never 0, a length (uint32, big endian) and that many bytes. The bytes of the
// session do not travel here: they go through the descriptors. Closing the socket abandons the invocation.
const (
	InvokeRequest byte = 'Q' // the first message: an Invocation
	InvokeSize    byte = 'w' // Size, as ItemSize
	InvokeSignal  byte = 's' // signal name without "SIG"
	InvokeStarted byte = 'S' // the program exists, or the connection is made
	InvokeExit    byte = 'x' // Exit, as ItemExit; the last message; all output has been written
	InvokeError   byte = 'E' // one line; the last message
	InvokeReply   byte = 'R' // a piece of an operation's result
	InvokeDone    byte = 'D' // the last message of an operation
)

// Operations of an Invocation. Others may be added by whoever serves the socket.
const (
	OpSession = "session" // descriptors 0, 1 and 2 of a program to be started: Spec
	OpDial    = "dial"    // descriptors 0 and 1 of a connection to be made inside: Network, Address
	OpRun     = "run"     // descriptors 0, 1 and 2 of Args, to be run in From with an ssh that leads to Dest
	OpHold    = "hold"    // no descriptors: the context is kept connected until the asking end closes
)

// Invocation is one request to a control socket.
type Invocation struct {
	Op string
	// Dest is where every host name leads, "[account@]target"; "" makes Host a target's name itself.
	Dest    string
	Host    string // as typed
	Account string // as typed; "" = Dest's, or the target's own
	Spec    *Spec  // OpSession
	Network string // OpDial: "tcp" or "unix"
	Address string
	From    string   // OpRun: "[account@]target"
	Dir     string   // OpRun: the program's working directory; "" = home
	Args    []string // OpRun, and operations of others
	// Timeout bounds connecting and starting; 0 = no bound beside the methods' own.
	Timeout time.Duration
}

// Limits of messages, bytes.
const (
	maxInvokeRequest = 4 << 20
	maxInvokeReply   = 1 << 20
	maxInvokeEvent   = 4 << 10
	maxOp            = 64
	maxDest          = 512
)

// MaxReply is the largest piece of a reply, bytes.
const MaxReply = maxInvokeReply

// Append appends the wire form of i to dst.
func (i *Invocation) Append(dst []byte) ([]byte, error) {
	d := pickle.NewDict("op", i.Op, "dest", i.Dest, "host", i.Host, "account", i.Account)
	if i.Spec != nil {
		d.Set("spec", i.Spec.Encode())
	}
	if i.Address != "" {
		d.Set("network", i.Network)
		d.Set("address", i.Address)
	}
	if i.From != "" {
		d.Set("from", i.From)
	}
	if i.Dir != "" {
		d.Set("dir", i.Dir)
	}
	if len(i.Args) > 0 {
		d.Set("args", texts(i.Args))
	}
	if i.Timeout > 0 {
		d.Set("timeout", i.Timeout.Milliseconds())
	}
	return pickle.Append(dst, d)
}

// ParseInvocation reads what Append wrote, from a peer that may send anything.
func ParseInvocation(data []byte) (*Invocation, error) {
	v, rest, err := pickle.Decode(data)
	if err != nil {
		return nil, err
	}
	if len(rest) != 0 {
		return nil, errors.New("invocation: bytes after the end")
	}
	f := newFields("invocation", v)
	i := &Invocation{
		Op:      f.text("op", maxOp),
		Dest:    f.text("dest", maxDest),
		Host:    f.text("host", maxDest),
		Account: f.text("account", maxName),
		Network: f.text("network", maxOp),
		Address: f.text("address", maxPath),
		From:    f.text("from", maxDest),
		Dir:     f.text("dir", maxPath),
		Args:    f.texts("args", maxArgs, maxCommand),
		Timeout: time.Duration(f.int("timeout", 0, 1<<31)) * time.Millisecond,
	}
	if spec, ok := f.get("spec"); ok {
		i.Spec, err = DecodeSpec(spec)
	}
	if f.err != nil {
		return nil, f.err
	}
	if err != nil {
		return nil, err
	}
	return i, i.validate()
}

func (i *Invocation) validate() error {
	switch {
	case i.Op == "":
		return errors.New("invocation: op is missing")
	case i.Op == OpSession && i.Spec == nil:
		return errors.New("invocation: spec is missing")
	case i.Op == OpRun && (i.From == "" || len(i.Args) == 0):
		return errors.New("invocation: from or args are missing")
	case i.Op == OpSession && i.Spec.Shim:
		return errors.New("invocation: a session within a run cannot have runs of its own")
	case i.Op == OpDial && (i.Address == "" || i.Network != "tcp" && i.Network != "unix"):
		return errors.New("invocation: address is missing")
	}
	return nil
}

// Message is one message of a control socket.
type Message struct {
	Kind byte
	Data []byte
}

// Err is what an InvokeError says: a *RefusedError.
func (m Message) Err() error { return &RefusedError{OneLine(string(m.Data))} }

// RefusedError is why whoever serves a control socket did not do what was asked for, or how that failed.
type RefusedError struct{ Text string }

func (e *RefusedError) Error() string { return e.Text }

// messageHeader is the size of a kind and a length.
const messageHeader = 5

func appendMessageHeader(dst []byte, kind byte, size int) []byte {
	return binary.BigEndian.AppendUint32(append(dst, kind), uint32(size))
}

// limitOf is the largest message of a kind; unknown kinds are small, so that they can be skipped.
func limitOf(kind byte) int {
	switch kind {
	case InvokeRequest:
		return maxInvokeRequest
	case InvokeReply:
		return maxInvokeReply
	}
	return maxInvokeEvent
}

// readMessage reads one message whose first bytes, if any, are in head. io.EOF before the first byte.
func readMessage(r io.Reader, head []byte) (Message, error) {
	var h [messageHeader]byte
	n := copy(h[:], head)
	if _, err := io.ReadFull(r, h[n:]); err != nil {
		if n > 0 && err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return Message{}, err
	}
	size := binary.BigEndian.Uint32(h[1:])
	if h[0] == 0 || int64(size) > int64(limitOf(h[0])) {
		return Message{}, errors.New("control socket: malformed message of kind " + strconv.Itoa(int(h[0])))
	}
	var data bytes.Buffer // which grows with what has come, whatever the header says will
	if _, err := io.CopyN(&data, r, int64(size)); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return Message{}, err
	}
	return Message{Kind: h[0], Data: data.Bytes()}, nil
}

// A run in another context than the gateway (Spec.Shim): the agent there serves the control socket, and asks the gateway about each
// invocation, since only the gateway may connect two contexts.
//
//	shim ──Invocation──► agent ──ItemInvoke id──► gateway ──FuncInvocation id──► agent
//	                                              gateway joins FuncStart in the destination with FuncAttach id here
//	                     agent ◄──ItemAnswer id, error── gateway, when that cannot be
const FuncInvocation = "fakessh.run.invocation" // id → bytes, a wire form of Invocation
