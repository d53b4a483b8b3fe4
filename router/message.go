package router

import (
	"errors"
	"strconv"

	"fakessh/router/pickle"
)

// Message is one Mitogen message.
type Message struct {
	Dst, Src, Auth ContextID
	Handle         Handle
	ReplyTo        Handle
	Encoding       uint16 // magic: 0x4d49, 0x4d4a or 0x4d4b; 0 means 0x4d49
	Data           []byte

	link *Link   // by which it came; nil when it is ours
	r    *Router // that delivered it
}

// NewMessage makes a message of one pickled value for a handle.
func NewMessage(dst ContextID, h Handle, v any) (*Message, error) {
	data, err := pickle.Append(nil, wireValue(v))
	if err != nil {
		return nil, err
	}
	return &Message{Dst: dst, Handle: h, Data: data}, nil
}

// NewDead makes a dead message; reason may be empty.
func NewDead(dst ContextID, h Handle, reason string) *Message {
	return &Message{Dst: dst, Handle: h, ReplyTo: deadMark, Data: []byte(reason)}
}

// IsDead reports whether the message says that no more will come.
func (m *Message) IsDead() bool { return m.ReplyTo == deadMark }

// deadError is the error that a dead message stands for.
func (m *Message) deadError() error {
	reason := cutText(string(m.Data), maxErrorText)
	if reason == "" {
		reason = reasonRemoteEnd
		if m.r != nil && m.Src == m.r.cfg.ID {
			reason = reasonLocalEnd
		}
	}
	return &ChannelError{Reason: reason}
}

// InvalidMessageError says that a payload could not be decoded.
type InvalidMessageError struct{ Err error }

func (e *InvalidMessageError) Error() string { return "invalid message: " + e.Err.Error() }

// Unwrap returns Err.
func (e *InvalidMessageError) Unwrap() error { return e.Err }

var errBinary = errors.New("payload is raw bytes, not a pickle")

// Value decodes the first pickle of the payload, of a dead message too if it has one. A CallError is a value here.
func (m *Message) Value() (any, error) {
	v, _, err := decodeOne(m.Encoding, m.Data)
	return v, err
}

// Decode is Value, but a dead message is a *ChannelError, and a CallError a *CallError.
func (m *Message) Decode() (any, error) {
	if m.IsDead() {
		return nil, m.deadError()
	}
	v, err := m.Value()
	if err != nil {
		return nil, err
	}
	if ce, ok := v.(pickle.CallError); ok {
		return nil, parseCallError(string(ce))
	}
	return v, nil
}

// Values decodes all pickles of the payload, in order.
func (m *Message) Values() ([]any, error) {
	var all []any
	for rest := m.Data; len(rest) > 0; {
		v, tail, err := decodeOne(m.Encoding, rest)
		if err != nil {
			return nil, err
		}
		all, rest = append(all, v), tail
	}
	return all, nil
}

func decodeOne(encoding uint16, data []byte) (any, []byte, error) {
	if encoding == EncodingBinary {
		return nil, nil, &InvalidMessageError{Err: errBinary}
	}
	v, rest, err := pickle.Decode(data)
	if err != nil {
		return nil, nil, &InvalidMessageError{Err: err}
	}
	return v, rest, nil
}

// Reply answers a delivered message with v, or with the payload of v when that is a *Message. Without a return
// address nothing is sent. The error is that of encoding v.
func (m *Message) Reply(v any) error {
	if m.ReplyTo == 0 || m.IsDead() {
		m.r.log(LevelDebug, "reply dropped: no return address", "src", m.Src.String(), "handle", m.Handle.String())
		return nil
	}
	answer, ok := v.(*Message)
	if !ok {
		var err error
		if answer, err = NewMessage(0, 0, v); err != nil {
			return err
		}
	}
	answer.Dst, answer.Handle = m.Src, m.ReplyTo
	m.r.Route(answer)
	return nil
}

// From is the link by which the message came in: the id of the neighbour. It is false for own messages.
func (m *Message) From() (ContextID, bool) {
	if m.link == nil {
		return 0, false
	}
	return m.link.remote, true
}

func (m *Message) header() header {
	h := header{magic: m.Encoding, dst: m.Dst, src: m.Src, auth: m.Auth, handle: m.Handle, replyTo: m.ReplyTo, length: uint32(len(m.Data))}
	if h.magic == 0 {
		h.magic = EncodingLegacy
	}
	return h
}

// checkEncoding refuses a message that no peer could read.
func checkEncoding(encoding uint16) error {
	switch encoding {
	case 0, EncodingLegacy, EncodingPickle, EncodingBinary:
		return nil
	}
	return errors.New("unknown encoding 0x" + strconv.FormatUint(uint64(encoding), 16))
}

// wireValue puts references in place of this package's objects, also inside of tuples and lists.
func wireValue(v any) any {
	switch v := v.(type) {
	case *Context:
		return v.ref()
	case *Sender:
		return v.ref()
	case *Receiver:
		return v.Sender().ref()
	case pickle.Tuple:
		t := make(pickle.Tuple, len(v))
		for i := range v {
			t[i] = wireValue(v[i])
		}
		return t
	case []any:
		s := make([]any, len(v))
		for i := range v {
			s[i] = wireValue(v[i])
		}
		return s
	}
	return v
}
