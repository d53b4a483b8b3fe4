package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"fakessh"
	"fakessh/bootstrap/agent/session"
)

// opTree asks for the contexts, as a JSON array of fakessh.Node.
const opTree = "tree"

// controlServer serves the control socket: run, ssh and tree of local accounts.
type controlServer struct {
	*fakessh.ControlServer
	ln *net.UnixListener
}

// listenControl opens the socket. Anybody may connect to it; who may what is decided by the principal that the peer's account is.
func (d *daemon) listenControl() (*controlServer, error) {
	path := d.cfg.ControlSocket
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		ln.Close()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return &controlServer{ln: ln, ControlServer: &fakessh.ControlServer{
		Tree:      d.tree,
		Admit:     d.admit,
		Authorize: d.authorize,
		Ended:     d.ended,
		Attach:    d.attach,
		Detach:    d.detach,
		Ops:       map[string]fakessh.ControlOp{opTree: d.showTree},
		Env:       d.cfg.envList(),
		Logger:    d.log,
	}}, nil
}

// removeStale removes the socket of a gateway that is gone: one that nobody answers. Whatever else is at path stays, and is an error.
func removeStale(path string) error {
	st, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("control socket: %w", err)
	case st.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("control socket %s: there is something that is no socket", path)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		c.Close()
		return fmt.Errorf("control socket %s: another gateway is listening", path)
	case !errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("control socket: %w", err)
	}
	return os.Remove(path)
}

func (c *controlServer) serve() error { return c.Serve(c.ln) }

// showTree implements the operation opTree.
func (d *daemon) showTree(_ context.Context, r *fakessh.ControlRequest) error {
	text, err := json.Marshal(d.tree.Nodes())
	if err != nil {
		return err
	}
	for len(text) > 0 {
		n := min(len(text), session.MaxReply)
		if err := r.Reply(text[:n]); err != nil {
			return err
		}
		text = text[n:]
	}
	return nil
}

// askTree asks the running gateway.
func askTree(ctx context.Context, cfg *config) ([]fakessh.Node, error) {
	text, err := askGateway(ctx, cfg.Sockets, opTree)
	switch refused := new(session.RefusedError); {
	case errors.As(err, &refused):
		return nil, fmt.Errorf("tree: %w", err)
	case err != nil:
		return nil, fmt.Errorf("tree: no answer from a gateway: %w", err)
	}
	var nodes []fakessh.Node
	return nodes, json.Unmarshal(text, &nodes)
}

// askGateway asks the first gateway that listens on one of sockets for an operation.
func askGateway(ctx context.Context, sockets []string, op string) (text []byte, err error) {
	for _, path := range sockets {
		err = fakessh.AskControl(ctx, path, op, nil, func(piece []byte) error {
			text = append(text, piece...)
			return nil
		})
		if nobody := new(net.OpError); !errors.As(err, &nobody) || nobody.Op != "dial" {
			break
		}
	}
	return text, err
}
