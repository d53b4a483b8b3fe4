package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"fakessh"
	"fakessh/authz"
	"fakessh/bootstrap/agent/session"
	"fakessh/methods"
)

// authorize implements fakessh.ControlServer.Authorize: questions of policy about the principal that the peer's account is.
func (d *daemon) authorize(_ context.Context, a *fakessh.Access) error {
	subject, err := d.peer(a.Peer)
	if err != nil {
		return err
	}
	questions, err := d.questions(a)
	if err != nil {
		return err
	}
	for _, q := range questions {
		q.req.Subject = subject
		q.req.SourceAddr, q.req.Conn = sourceOf(a.Peer), a.Conn
		switch dec := q.decide(q.req); {
		case dec.Allow:
		case q.otherwise != nil:
			q.otherwise()
		default:
			return errors.New(dec.Public)
		}
	}
	return nil
}

// admit implements fakessh.ControlServer.Admit: whoever is no principal has nothing to ask.
func (d *daemon) admit(p fakessh.Peer) error {
	_, err := d.peer(p)
	if err != nil {
		d.refusedPeer(p, err)
	}
	return err
}

// peer is the principal behind a local account.
func (d *daemon) peer(p fakessh.Peer) (authz.Subject, error) {
	account := p.Account()
	if account == "" {
		return authz.Subject{}, fmt.Errorf("uid %d is no account here", p.UID)
	}
	subject, ok := d.users.ByUnix(account)
	if !ok {
		return authz.Subject{}, fmt.Errorf("account %q is no user of this gateway", account)
	}
	return subject, nil
}

// question is a request and how it is answered.
type question struct {
	decide    func(authz.Request) authz.Decision
	req       authz.Request
	otherwise func() // what a no means; nil: that the whole access is refused
}

// questions are what policy is asked about an access. Before anything is connected: hops, and whether the rest could be permitted at all; the
// rest when the target has said who one is there.
func (d *daemon) questions(a *fakessh.Access) ([]question, error) {
	if a.Invocation.Op == opTree {
		return []question{{decide: d.decider.Decide, req: authz.Request{Action: authz.ShowTree}}}, nil
	}
	asked, err := invocationQuestions(a.Invocation)
	if err != nil {
		return nil, err
	}
	plan, err := d.tree.Plan(a.Dest.Target)
	if err != nil {
		return nil, err
	}
	var list []question
	decide, account := d.decider.Possible, cmp.Or(a.Dest.Account, plan.Account)
	if a.Lease != nil {
		decide, account = d.decider.Decide, a.Lease.Account()
	} else if len(plan.Hops) > 0 {
		list = append(list, question{decide: d.decider.Decide, req: authz.Request{Action: authz.Hop, Account: a.Dest.Account}})
	}
	for _, req := range asked {
		req.Account = account
		list = append(list, question{decide: decide, req: req})
	}
	if spec := a.Invocation.Spec; a.Lease != nil && spec != nil && spec.Kind == session.Subsystem {
		list = append(list, question{
			decide: decide, req: authz.Request{Action: authz.SFTPWrite, Account: account}, otherwise: func() { spec.ReadOnly = true },
		})
	}
	for i := range list {
		req := &list[i].req
		req.Target, req.Groups, req.Hops = plan.Target.String(), plan.Groups, plan.Hops
	}
	return list, nil
}

// invocationQuestions says which actions an invocation is: exactly what will run or be dialled, without the place.
func invocationQuestions(inv *session.Invocation) ([]authz.Request, error) {
	switch inv.Op {
	case session.OpDial:
		return []authz.Request{dialQuestion(inv)}, nil
	case session.OpSession:
		return sessionQuestions(inv.Spec)
	case session.OpHold: // ssh -N: each of its forwards is asked about by itself
		return []authz.Request{{Action: authz.ForwardLocal}}, nil
	case session.OpRun:
		command := runCommandText(inv)
		return []authz.Request{{Action: authz.Exec, Command: command}, {Action: authz.Run, Command: command}}, nil
	}
	return nil, fmt.Errorf("no operation %q", inv.Op)
}

// runCommandText is the shell's text for the program of a `run --from`.
func runCommandText(inv *session.Invocation) string {
	command := methods.QuoteArgs(inv.Args)
	if inv.Dir != "" {
		command = "cd " + methods.Quote(inv.Dir) + " && " + command
	}
	return command
}

func dialQuestion(inv *session.Invocation) authz.Request {
	req := authz.Request{Action: authz.ForwardLocal, DestHost: inv.Address}
	if host, port, err := net.SplitHostPort(inv.Address); err == nil && inv.Network == "tcp" {
		req.DestHost = host
		req.DestPort, _ = strconv.Atoi(port) // the agent refuses what is no port
	}
	return req
}

// sessionQuestions are those about a session. Whether sftp may write too is asked when it is known who one is there.
func sessionQuestions(spec *session.Spec) ([]authz.Request, error) {
	req := authz.Request{PTY: spec.PTY != nil}
	switch spec.Kind {
	case session.Shell:
		req.Action = authz.Shell
	case session.Exec:
		req.Action, req.Command = authz.Exec, spec.Command
	case session.Argv:
		req.Action, req.Command = authz.Exec, methods.QuoteArgs(spec.Args)
	case session.Subsystem:
		if spec.Command != "sftp" {
			return nil, fmt.Errorf("no subsystem %q", spec.Command)
		}
		req.Action = authz.SFTPRead
	}
	return []authz.Request{req}, nil
}
