package main

import (
	"log/slog"
	"net"
	"strconv"

	"fakessh/authz"
	"fakessh/proxy"
)

// auditEvents puts on record what became of what was allowed. The decisions themselves are recorded by the Decider.
type auditEvents struct {
	log     *authz.Log
	problem *slog.Logger
}

// Event implements proxy.Auditor.
func (a auditEvents) Event(e proxy.Event) {
	if rec, ok := auditRecord(e); ok {
		a.append(rec)
	}
}

func (a auditEvents) append(rec authz.Record) {
	if err := a.log.Append(rec); err != nil {
		a.problem.Error("audit record not written", "err", err)
	}
}

// auditRecord translates an event; a start is on record already, as the decision that allowed it.
func auditRecord(e proxy.Event) (authz.Record, bool) {
	rec := authz.Record{
		Time: e.Time, Conn: e.Conn, Source: e.Source, User: e.User, Principal: e.Subject.Principal, Key: e.Subject.KeyID,
		Action: e.Action, Target: e.Target, Account: e.Account, Command: e.Command, Mode: e.Mode, Reason: e.Reason,
		Millis: e.Elapsed.Milliseconds(), BytesIn: e.In, BytesOut: e.Out, Count: e.Count, Allow: !e.Refused,
	}
	if host, port, err := net.SplitHostPort(e.Dest); err == nil {
		rec.DestHost = host
		rec.DestPort, _ = strconv.Atoi(port) // a name of a service stays out
	} else {
		rec.DestHost = e.Dest
	}
	switch e.Kind {
	case proxy.EventLogin, proxy.EventVirtualHost:
		rec.Event = authz.EventLogin
	case proxy.EventLoginFailed:
		rec.Event, rec.Allow = authz.EventLogin, false
	case proxy.EventSessionEnd:
		rec.Event, rec.Signal = authz.EventEnd, e.Signal
		if e.Signal == "" {
			status := int(e.Status)
			rec.Exit = &status
		}
	case proxy.EventForwardEnd, proxy.EventLogout:
		rec.Event = authz.EventEnd
	case proxy.EventRefused:
		rec.Event, rec.Allow = authz.EventChannel, false
		if e.Action == authz.Jump || e.Action == authz.ForwardRemote {
			rec.Event = authz.EventForward
		}
	default:
		return authz.Record{}, false
	}
	return rec, true
}
