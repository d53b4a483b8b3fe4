package authz

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
	"unicode/utf8"
)

// Event says what a record is about.
type Event string

// Events.
const (
	EventLogin   Event = "login"   // a connection has an identity, or was refused one
	EventChannel Event = "channel" // a shell or sftp session
	EventCommand Event = "command" // a command, or a program of Run
	EventForward Event = "forward" // a forward or a relay
	EventHop     Event = "hop"     // hops that are not in the inventory
	EventView    Event = "view"    // the tree was shown
	EventAttach  Event = "attach"  // a program attaches by mitogen.unix, or was refused
	EventDetach  Event = "detach"  // one that had is gone
	EventEnd     Event = "end"     // a session or a connection is over
	EventResume  Event = "resume"  // the log goes on after records were lost or torn
)

// Record is one line of the audit log. Seq, Prev and, when it is zero, Time are set by Log.Append.
type Record struct {
	Seq       uint64    `json:"seq"`
	Time      time.Time `json:"time"`
	Event     Event     `json:"event"`
	Conn      string    `json:"conn,omitempty"`
	User      string    `json:"user,omitempty"` // of a login: the user name as typed
	Principal string    `json:"principal,omitempty"`
	Key       string    `json:"key,omitempty"` // fingerprint
	Action    Action    `json:"action,omitempty"`
	Target    string    `json:"target,omitempty"`
	Account   string    `json:"account,omitempty"`
	Command   string    `json:"command,omitempty"`
	Source    string    `json:"source,omitempty"` // host:port of the client
	DestHost  string    `json:"dest_host,omitempty"`
	DestPort  int       `json:"dest_port,omitempty"`
	Mode      string    `json:"mode,omitempty"` // of a jump: "terminate", "passthrough", "exit", "deny"
	UID       *int      `json:"uid,omitempty"`  // of a program that attaches
	PID       int       `json:"pid,omitempty"`
	Allow     bool      `json:"allow"`
	Reason    string    `json:"reason,omitempty"`
	Rules     []string  `json:"rules,omitempty"`

	// Of an end, or a detach.
	Exit     *int   `json:"exit,omitempty"`
	Signal   string `json:"signal,omitempty"`
	Millis   int64  `json:"ms,omitempty"`
	BytesIn  int64  `json:"bytes_in,omitempty"` // from the client
	BytesOut int64  `json:"bytes_out,omitempty"`
	Count    int64  `json:"count,omitempty"` // connections of a remote or agent forward

	// CommandSHA256 is set where Command is not the exact bytes: too long, or not UTF-8.
	CommandSHA256 string `json:"command_sha256,omitempty"`

	// Of a resume: bytes of lines that were not written whole, and records that could not be written at all.
	Torn int64  `json:"torn,omitempty"`
	Lost uint64 `json:"lost,omitempty"`

	Prev string `json:"prev"` // SHA-256 of the line before, in hex
}

// maxField bounds one text of a record, bytes; so a line stays far below maxLine.
const maxField = 8 << 10

// bounded makes every text short and valid UTF-8.
func (r *Record) bounded() {
	if len(r.Command) > maxField || !utf8.ValidString(r.Command) {
		sum := sha256.Sum256([]byte(r.Command))
		r.CommandSHA256 = hex.EncodeToString(sum[:])
	}
	for _, s := range []*string{&r.Conn, &r.User, &r.Principal, &r.Key, &r.Target, &r.Account, &r.Command, &r.Source,
		&r.DestHost, &r.Mode, &r.Reason, &r.Signal} {
		*s = clip(*s)
	}
	if len(r.Rules) > 64 {
		r.Rules = r.Rules[:64]
	}
	r.Rules = append([]string(nil), r.Rules...)
	for i := range r.Rules {
		r.Rules[i] = clip(r.Rules[i])
	}
}

func clip(s string) string {
	if len(s) > maxField {
		s = s[:maxField] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// decisionRecord is the record of an answer.
func decisionRecord(req Request, dec Decision) Record {
	return Record{
		Time: req.Time, Event: eventOf(req.Action), Conn: req.Conn,
		Principal: req.Subject.Principal, Key: req.Subject.KeyID,
		Action: req.Action, Target: req.Target, Account: req.Account, Command: req.Command,
		Source: req.SourceAddr, DestHost: req.DestHost, DestPort: req.DestPort, Mode: req.Mode,
		Allow: dec.Allow, Reason: dec.Reason, Rules: dec.Rules,
	}
}

func eventOf(a Action) Event {
	switch a {
	case Exec, Run:
		return EventCommand
	case ForwardLocal, ForwardRemote, AgentForward, X11Forward, Jump:
		return EventForward
	case Hop:
		return EventHop
	case ShowTree:
		return EventView
	}
	return EventChannel
}
