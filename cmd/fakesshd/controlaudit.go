package main

import (
	"fmt"
	"strconv"

	"fakessh"
	"fakessh/authz"
	"fakessh/bootstrap/agent/session"
)

// What came by the control socket is on record like what came by SSH: its decisions, with the connection's name, and how it ended.

// sourceOf is how records name the process at the other end of the control socket.
func sourceOf(p fakessh.Peer) string { return "unix:" + strconv.Itoa(p.PID) }

// ended implements fakessh.ControlServer.Ended.
func (d *daemon) ended(e *fakessh.ControlEnd) {
	rec := authz.Record{
		Event: authz.EventEnd, Conn: e.Conn, Source: sourceOf(e.Peer), Target: e.Dest.Target.String(), Account: e.Dest.Account,
		Millis: e.Elapsed.Milliseconds(), Allow: !e.Refused,
	}
	if subject, err := d.peer(e.Peer); err == nil {
		rec.Principal, rec.Key = subject.Principal, subject.KeyID
	}
	if asked, err := invocationQuestions(e.Invocation); err == nil {
		q := asked[0]
		rec.Action, rec.Command, rec.DestHost, rec.DestPort = q.Action, q.Command, q.DestHost, q.DestPort
	}
	if e.Lease != nil {
		rec.Account = e.Lease.Account()
	}
	if e.Err != nil {
		rec.Reason = session.ErrorLine(e.Err)
	}
	if e.Exit != nil {
		if spec := e.Invocation.Spec; spec != nil && spec.ReadOnly {
			rec.Reason = session.OneLine(e.Exit.Message)
		}
		rec.Signal = e.Exit.Signal
		if status := int(e.Exit.Status); rec.Signal == "" {
			rec.Exit = &status
		}
	}
	d.record(rec)
}

// refusedPeer puts on record that a local account which is no user's was turned away. Anybody on the machine may cause that, so
// the records of it are limited.
func (d *daemon) refusedPeer(p fakessh.Peer, account string, reason error) {
	ok, skipped := d.strangers.Take()
	if !ok {
		return
	}
	text := reason.Error()
	if skipped > 0 {
		text += fmt.Sprintf(" (%d more like this before)", skipped)
	}
	d.log.Warn("control connection refused", "uid", p.UID, "pid", p.PID, "err", text)
	d.record(authz.Record{Event: authz.EventLogin, Source: sourceOf(p), User: account, Reason: text})
}

// record appends rec to the audit log.
func (d *daemon) record(rec authz.Record) { auditEvents{d.audit, d.log}.append(rec) }
