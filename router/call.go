package router

import (
	"context"
	"crypto/rand"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"

	"fakessh/router/pickle"
)

// Call runs the function name, "module.function" or "module:Class.function", in the context and waits. Keyword arguments
// are given as a pickle.Kwargs as the last argument. Errors: *CallError, *ChannelError, *LostError, ErrClosed, ctx's.
// When ctx ends the waiting does; the function is not told.
func (c *Context) Call(ctx context.Context, name string, args ...any) (any, error) {
	args, kwargs := splitKwargs(args)
	return c.callRaw(ctx, name, args, kwargs)
}

// CallNoReply runs the function and forgets it. The far side logs its error.
func (c *Context) CallNoReply(name string, args ...any) error {
	return c.callAsync("", 0, name, args)
}

// CallAsync runs the function and returns where its result will arrive: one message. Close the Receiver.
func (c *Context) CallAsync(name string, args ...any) (*Receiver, error) {
	return c.callReceiver("", name, args)
}

func (c *Context) callReceiver(chain, name string, args []any) (*Receiver, error) {
	rcv, err := c.r.NewReceiver(ReceiverOptions{Respondent: &c.id})
	if err != nil {
		return nil, err
	}
	if err := c.callAsync(chain, rcv.Handle(), name, args); err != nil {
		rcv.Close()
		return nil, err
	}
	return rcv, nil
}

func (c *Context) callRaw(ctx context.Context, name string, args []any, kwargs *pickle.Dict) (any, error) {
	payload, err := callPayload("", name, args, kwargs)
	if err != nil {
		return nil, err
	}
	return c.Ask(ctx, HandleCallFunction, payload)
}

func (c *Context) callAsync(chain string, reply Handle, name string, args []any) error {
	if err := c.Err(); err != nil {
		return err
	}
	args, kwargs := splitKwargs(args)
	payload, err := callPayload(chain, name, args, kwargs)
	if err != nil {
		return err
	}
	c.r.Route(&Message{Dst: c.id, Handle: HandleCallFunction, ReplyTo: reply, Data: payload})
	return nil
}

func splitKwargs(args []any) ([]any, *pickle.Dict) {
	if n := len(args); n > 0 {
		if kw, ok := args[n-1].(pickle.Kwargs); ok {
			return args[:n-1], kw.Dict
		}
	}
	return args, nil
}

// callPayload is the 6-tuple of CALL_FUNCTION.
func callPayload(chain, name string, args []any, kwargs *pickle.Dict) ([]byte, error) {
	module, class, function, err := splitName(name)
	if err != nil {
		return nil, err
	}
	kw := pickle.NewDict()
	for k, v := range kwargs.All() {
		kw.Set(k, wireValue(v))
	}
	list := make(pickle.Tuple, len(args))
	for i := range args {
		list[i] = wireValue(args[i])
	}
	data, err := pickle.Append(nil, pickle.Tuple{orNone(chain), module, orNone(class), function, list, pickle.Kwargs{Dict: kw}})
	if err != nil {
		return nil, errors.New("call " + strconv.Quote(name) + ": " + err.Error())
	}
	return data, nil
}

func orNone(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// splitName takes "module.function" or "module:Class.function" apart.
func splitName(name string) (module, class, function string, err error) {
	dot := strings.LastIndexByte(name, '.')
	if dot <= 0 || dot == len(name)-1 {
		return "", "", "", errors.New("call " + strconv.Quote(name) + ": not of the form module.function")
	}
	module, function = name[:dot], name[dot+1:]
	module, class, _ = strings.Cut(module, ":")
	return module, class, function, nil
}

// CallChain pipelines calls: they run in order, and after one has failed the rest give its error without running, until
// Reset. Safe for concurrent use; the order is then that of the calls' beginnings.
type CallChain struct {
	c  *Context
	id string
}

var chainCount atomic.Uint64

// Chain makes a chain of calls into the context. Close it.
func (c *Context) Chain() *CallChain {
	id := c.r.cfg.ID.String() + "-" + rand.Text()[:12] + "-" + strconv.FormatUint(chainCount.Add(1), 16)
	return &CallChain{c: c, id: id}
}

// Call is Context.Call as part of the chain.
func (ch *CallChain) Call(ctx context.Context, name string, args ...any) (any, error) {
	args, kwargs := splitKwargs(args)
	payload, err := callPayload(ch.id, name, args, kwargs)
	if err != nil {
		return nil, err
	}
	return ch.c.Ask(ctx, HandleCallFunction, payload)
}

// CallNoReply is Context.CallNoReply as part of the chain; a later Call tells its error.
func (ch *CallChain) CallNoReply(name string, args ...any) error {
	return ch.c.callAsync(ch.id, 0, name, args)
}

// CallAsync is Context.CallAsync as part of the chain.
func (ch *CallChain) CallAsync(name string, args ...any) (*Receiver, error) {
	return ch.c.callReceiver(ch.id, name, args)
}

// forgetChain is the one function of Mitogen itself that a dispatcher has to serve.
const forgetChain = "mitogen.core:Dispatcher.forget_chain"

// Reset makes the far side forget the chain's error.
func (ch *CallChain) Reset() error { return ch.c.CallNoReply(forgetChain, ch.id) }

// Close is Reset.
func (ch *CallChain) Close() error { return ch.Reset() }
