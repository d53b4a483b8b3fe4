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

// attach implements fakessh.ControlServer.Attach. Policy is not asked: who gets here could do without the gateway what it is able to do.
func (d *daemon) attach(a *fakessh.Attachment) error {
	rec := d.attachment(authz.EventAttach, a)
	log := d.log.With("uid", a.Peer.UID, "pid", a.Peer.PID)
	if a.Err != nil {
		if d.mayRecord(&rec) {
			log.Warn("program not attached", "err", rec.Reason)
			d.record(rec)
		}
		return nil
	}
	if err := d.audit.Append(rec); err != nil {
		log.Error("program not attached: audit record not written", "err", err)
		return err
	}
	log.Info("program attached", "node", a.ID)
	return nil
}

// detach implements fakessh.ControlServer.Detach.
func (d *daemon) detach(a *fakessh.Attachment) {
	d.log.Info("program detached", "uid", a.Peer.UID, "pid", a.Peer.PID, "node", a.ID, "cause", a.Err)
	rec := d.attachment(authz.EventDetach, a)
	rec.Allow, rec.Millis = true, a.Elapsed.Milliseconds()
	d.record(rec)
}

func (d *daemon) attachment(event authz.Event, a *fakessh.Attachment) authz.Record {
	rec := authz.Record{
		Event: event, Conn: a.Conn, Source: sourceOf(a.Peer), User: a.Peer.Account(), UID: &a.Peer.UID, PID: a.Peer.PID, Allow: a.Err == nil,
	}
	if subject, err := d.peer(a.Peer); err == nil {
		rec.Principal, rec.Key = subject.Principal, subject.KeyID
	}
	if a.Err != nil {
		rec.Reason = session.ErrorLine(a.Err)
	}
	return rec
}

// mayRecord limits the records of refusals that any account of the machine may cause.
func (d *daemon) mayRecord(rec *authz.Record) bool {
	ok, skipped := d.strangers.Take()
	if skipped > 0 {
		rec.Reason += fmt.Sprintf(" (%d more like this before)", skipped)
	}
	return ok
}

// refusedPeer puts on record that a local account which is no user's was turned away.
func (d *daemon) refusedPeer(p fakessh.Peer, reason error) {
	rec := authz.Record{Event: authz.EventLogin, Source: sourceOf(p), User: p.Account(), Reason: reason.Error()}
	if d.mayRecord(&rec) {
		d.log.Warn("control connection refused", "uid", p.UID, "pid", p.PID, "err", rec.Reason)
		d.record(rec)
	}
}

// record appends rec to the audit log.
func (d *daemon) record(rec authz.Record) { auditEvents{d.audit, d.log}.append(rec) }
