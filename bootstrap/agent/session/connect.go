package session

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"fakessh/router"
	"fakessh/router/pickle"
)

// Types of the *router.CallError that Connect and the other functions fail with.
const (
	TypeError     = "fakessh.Error"          // anything else
	TypeNeedImage = "fakessh.NeedImageError" // Text is the platform: PutImage it, and connect again
	TypeAccount   = "fakessh.AccountError"   // there is no such account
	TypePassword  = "fakessh.PasswordError"
	TypeHostKey   = "fakessh.HostKeyError"
	TypeEOF       = "fakessh.EofError"
	TypeTimeout   = "fakessh.TimeoutError"
	TypeStage     = "fakessh.StageError"
)

// ConnectRequest asks an agent to start a child context.
type ConnectRequest struct {
	ID     uint32 // the child's; 0 = the agent takes one of its own
	Method string
	// Params values are string, bool, int64, float64, []string or pickle.Secret.
	Params         map[string]any
	Unidirectional bool
	MaxMessage     int // bytes; 0 = the agent's own
	RemoteName     string
	NoCache        bool
	Debug          bool
}

// Connected is what became of a ConnectRequest. The child's route has been announced before.
type Connected struct {
	ID       uint32
	Name     string // Mitogen's naming: "docker.app"
	Platform string // "linux/amd64"
	Version  string
	Caps     []string
	Cached   bool
	Uploaded time.Duration // how long sending the image took
}

// Connect makes the agent in via start a child context. Errors are *router.CallError with one of the types above.
func Connect(ctx context.Context, via *router.Context, req *ConnectRequest) (*Connected, error) {
	v, err := via.Call(ctx, FuncConnect, req.Encode())
	if err != nil {
		return nil, err
	}
	return DecodeConnected(v)
}

// Disconnect makes the agent in via close the link to its own child id, and end the tool behind it.
func Disconnect(ctx context.Context, via *router.Context, id uint32, reason string) error {
	_, err := via.Call(ctx, FuncDisconnect, int64(id), reason)
	return err
}

// LoggerLost is the logger of the record by which an agent says why a child of its own is lost. It goes before the news that the child's
// route is gone, which have no room for a reason.
const LoggerLost = "fakessh.lost"

// LostRecord is the text of such a record: the child's id, a blank, one line.
func LostRecord(id uint32, cause error) string {
	return strconv.FormatUint(uint64(id), 10) + " " + ErrorLine(cause)
}

// ParseLost reads what LostRecord wrote, from an agent that may write anything.
func ParseLost(text string) (id uint32, reason string, ok bool) {
	number, reason, ok := strings.Cut(text, " ")
	n, err := strconv.ParseUint(number, 10, 32)
	reason = OneLine(reason)
	return uint32(n), reason, ok && err == nil && reason != ""
}

// NeedImage says whether err is an agent's request for an image, and of which platform.
func NeedImage(err error) (platform string, ok bool) {
	var call *router.CallError
	if errors.As(err, &call) && call.Type == TypeNeedImage {
		return call.Text, true
	}
	return "", false
}

// Encode returns the wire form of r.
func (r *ConnectRequest) Encode() *pickle.Dict {
	params := pickle.NewDict()
	for name, v := range r.Params {
		switch v := v.(type) {
		case []string:
			params.Set(name, texts(v))
		default:
			params.Set(name, v)
		}
	}
	return pickle.NewDict(
		"id", int64(r.ID), "method", r.Method, "params", params,
		"unidirectional", r.Unidirectional, "max_message", int64(r.MaxMessage),
		"remote_name", r.RemoteName, "no_cache", r.NoCache, "debug", r.Debug,
	)
}

const maxParams = 128

// DecodeConnectRequest reads what Encode wrote.
func DecodeConnectRequest(v any) (*ConnectRequest, error) {
	f := newFields("connect", v)
	r := &ConnectRequest{
		ID:             uint32(f.int("id", 0, 1<<32-1)),
		Method:         f.text("method", maxName),
		Unidirectional: f.bool("unidirectional"),
		MaxMessage:     int(f.int("max_message", 0, 1<<30)),
		RemoteName:     f.text("remote_name", maxName),
		NoCache:        f.bool("no_cache"),
		Debug:          f.bool("debug"),
	}
	if v, ok := f.get("params"); ok {
		r.Params = f.params(v)
	}
	if r.Method == "" {
		f.fail("method", "is missing")
	}
	if f.err != nil {
		return nil, f.err
	}
	return r, nil
}

func (f *fields) params(v any) map[string]any {
	d, isDict := v.(*pickle.Dict)
	if !isDict || d.Len() > maxParams {
		f.fail("params", "is not a dict of at most 128 entries")
		return nil
	}
	params := make(map[string]any, d.Len())
	for k, v := range d.All() {
		name := f.asText("params", k, maxName)
		if v != nil {
			params[name] = f.param(name, v)
		}
	}
	return params
}

// param is one value of a method's parameters, in the types that ConnectRequest promises.
func (f *fields) param(name string, v any) any {
	switch v := v.(type) {
	case bool, int64, float64:
		return v
	case pickle.Secret:
		f.checkText(name, string(v), maxValue)
		return v
	case pickle.Tuple:
		return f.paramList(name, v)
	case *pickle.List:
		return f.paramList(name, v.Items)
	}
	return f.asText(name, v, maxValue)
}

func (f *fields) paramList(name string, items []any) []string {
	if len(items) > maxArgs {
		f.fail(name, "is too long")
		return nil
	}
	list := make([]string, 0, len(items))
	for _, v := range items {
		list = append(list, f.asText(name, v, maxValue))
	}
	return list
}

// Encode returns the wire form of c.
func (c *Connected) Encode() *pickle.Dict {
	return pickle.NewDict(
		"id", int64(c.ID), "name", c.Name, "platform", c.Platform, "version", c.Version,
		"caps", texts(c.Caps), "cached", c.Cached, "uploaded", int64(c.Uploaded),
	)
}

// DecodeConnected reads what Connected.Encode wrote.
func DecodeConnected(v any) (*Connected, error) {
	f := newFields("connected", v)
	c := &Connected{
		ID:       uint32(f.int("id", 1, 1<<32-1)),
		Name:     f.text("name", maxPath),
		Platform: f.text("platform", maxName),
		Version:  f.text("version", maxName),
		Caps:     f.texts("caps", maxName, maxValue),
		Cached:   f.bool("cached"),
		Uploaded: time.Duration(f.int("uploaded", 0, 1<<62)),
	}
	if f.err != nil {
		return nil, f.err
	}
	return c, nil
}
