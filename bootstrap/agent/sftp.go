package agent

import (
	"context"
	"errors"
	"path"
	"strconv"

	"github.com/pkg/sftp"

	"fakessh/bootstrap/agent/session"
	"fakessh/methods"
	"fakessh/router"
)

// subsystem prepares the subsystem that spec names.
func (a *Agent) subsystem(spec *session.Spec, s *router.Stream) (func(), error) {
	if spec.Command != "sftp" {
		return nil, errors.New("no subsystem " + strconv.Quote(spec.Command))
	}
	acct := a.account()
	if text, ok := nologin(acct, nologinFile); ok {
		return nil, errors.New(session.OneLine(text))
	}
	switch path.Base(acct.Shell) {
	case "nologin", "false":
		return nil, errors.New("This account is currently not available.") //nolint:revive,staticcheck // what nologin(8) says
	}
	dir := spec.Dir
	if dir == "" {
		dir = acct.Home
	}
	if enterable(dir) != nil {
		dir = "/"
	}
	return func() { a.serveSFTP(s, acct, dir, spec.ReadOnly) }, nil
}

// sftpPayload is the most that one READ or WRITE carries, bytes: OpenSSH's own limit.
const sftpPayload = 261120

// serveSFTP runs pkg/sftp's server over the stream, with front in between: what that server lacks, or does
// otherwise than OpenSSH's, never reaches it. It ends with the client's EOF or with the stream.
func (a *Agent) serveSFTP(s *router.Stream, acct account, dir string, readOnly bool) {
	front := newSFTPFront(s, dir, func(name string) (account, bool) {
		if name == "" || name == acct.Name {
			return acct, true
		}
		return methods.AccountNamed(context.Background(), name)
	})
	options := []sftp.ServerOption{sftp.WithAllocator(), sftp.WithMaxTxPacket(sftpPayload)}
	if front.readOnly = readOnly; readOnly {
		options = append(options, sftp.ReadOnly())
	}
	server, err := sftp.NewServer(front, options...)
	if err == nil {
		err = server.Serve()
	}
	exit := session.Exit{Message: session.OneLine(front.refused.String())}
	if err != nil {
		exit = session.Exit{Status: 255, Message: session.OneLine(err.Error())}
	}
	_ = s.SendControl(router.Control{Kind: session.ItemExit, Data: session.AppendExit(nil, exit)})
	finish(s)
}
