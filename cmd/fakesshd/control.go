package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"fakessh"
	"fakessh/authz"
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
		Authorize: d.authorize,
		Ops:       map[string]fakessh.ControlOp{opTree: d.showTree},
		Logger:    d.log,
	}}, nil
}

func (c *controlServer) serve() error { return c.Serve(c.ln) }

// authorize implements fakessh.ControlServer.Authorize: a question of policy about the principal that the peer's account is.
func (d *daemon) authorize(_ context.Context, a *fakessh.Access) error {
	subject, err := d.peer(a.Peer)
	if err != nil {
		return err
	}
	for _, req := range d.questions(a) {
		req.Subject = subject
		req.SourceAddr = "unix:" + strconv.Itoa(a.Peer.PID)
		if dec := d.decider.Decide(req); !dec.Allow {
			return errors.New(dec.Public)
		}
	}
	return nil
}

// peer is the principal behind a local account.
func (d *daemon) peer(p fakessh.Peer) (authz.Subject, error) {
	account, err := user.LookupId(strconv.Itoa(p.UID))
	if err != nil {
		return authz.Subject{}, fmt.Errorf("uid %d is no account here", p.UID)
	}
	subject, ok := d.users.ByUnix(account.Username)
	if !ok {
		return authz.Subject{}, fmt.Errorf("account %q is no user of this gateway", account.Username)
	}
	return subject, nil
}

// questions are what policy is asked about an access: hops before anything is connected, the rest with the account that is known then.
func (d *daemon) questions(a *fakessh.Access) []authz.Request {
	inv := a.Invocation
	if inv.Op == opTree {
		return []authz.Request{{Action: authz.ShowTree}}
	}
	base := authz.Request{Target: a.Dest.Target.String(), Account: a.Dest.Account}
	plan, err := d.tree.Plan(a.Dest.Target)
	if err == nil {
		base.Groups, base.Hops = plan.Groups, plan.Hops
	}
	if a.Lease == nil {
		if len(base.Hops) == 0 {
			return nil
		}
		base.Action = authz.Hop
		return []authz.Request{base}
	}
	base.Account = a.Lease.Account()
	return invocationQuestions(base, inv)
}

// invocationQuestions says which actions an invocation is.
func invocationQuestions(base authz.Request, inv *session.Invocation) []authz.Request {
	with := func(actions ...authz.Action) (list []authz.Request) {
		for _, a := range actions {
			base.Action = a
			list = append(list, base)
		}
		return list
	}
	switch {
	case inv.Op == session.OpDial:
		base.DestHost = inv.Address
		if host, port, err := net.SplitHostPort(inv.Address); err == nil {
			base.DestHost = host
			base.DestPort, _ = strconv.Atoi(port) // the agent refuses what is no port
		}
		return with(authz.ForwardLocal)
	case inv.Op == session.OpSession && inv.Spec != nil:
		base.PTY = inv.Spec.PTY != nil
		switch inv.Spec.Kind {
		case session.Subsystem:
			return with(authz.SFTPRead, authz.SFTPWrite)
		case session.Shell:
			return with(authz.Shell)
		}
		base.Command = commandText(inv.Spec.Command, inv.Spec.Args)
		return with(authz.Exec)
	}
	base.Command = commandText("", inv.Args)
	return with(authz.Run)
}

func commandText(command string, args []string) string {
	if command != "" {
		return command
	}
	return strings.Join(args, " ")
}

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
	var text []byte
	var mu sync.Mutex
	err := fakessh.AskControl(ctx, cfg.ControlSocket, opTree, nil, func(piece []byte) error {
		mu.Lock()
		defer mu.Unlock()
		text = append(text, piece...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("tree: no answer from a gateway: %w", err)
	}
	var nodes []fakessh.Node
	return nodes, json.Unmarshal(text, &nodes)
}
