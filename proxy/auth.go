package proxy

import (
	"errors"
	"fmt"
	"net"
	"slices"

	gossh "golang.org/x/crypto/ssh"

	"fakessh/authz"
)

// Authenticator says who a key belongs to. It is safe for concurrent use.
type Authenticator interface {
	// Subjects are the subjects that possession of key proves to a client at remote, each with its KeyID; none when it proves
	// nothing, and then an error that says why, for the log. The key may be a *ssh.Certificate, whose checking is then the Authenticator's whole.
	Subjects(key gossh.PublicKey, remote net.Addr) ([]authz.Subject, error)
	// LoginNames are the user names, beside its own, by which a principal means itself (login_names).
	LoginNames(principal string) []string
}

// identity is what a handshake has proven, and what the client typed. It exists only in the Permissions of a finished one.
type identity struct {
	subject authz.Subject
	login   login
}

type identityKey struct{}

// Refusals of a login. The client sees none of them: all look the same, "Permission denied".
var (
	errUnknownKey   = errors.New("key of no principal")
	errNotPrincipal = errors.New("key of another principal")
	errAmbiguousKey = errors.New("key of several principals, none named")

	errManyConnections = errors.New("too many connections of this principal")
)

// identify finds out whom key makes a client that logs in as user.
func identify(auth Authenticator, user string, key gossh.PublicKey, remote net.Addr) (*identity, error) {
	l, err := parseLogin(user)
	if err != nil {
		return nil, err
	}
	subjects, err := auth.Subjects(key, remote)
	switch {
	case err != nil:
		return nil, err
	case len(subjects) == 0:
		return nil, errUnknownKey
	case l.Principal != "":
		return named(subjects, l, l.Principal, errNotPrincipal)
	case len(subjects) == 1:
		return &identity{subject: subjects[0], login: l}, nil
	}
	// Several principals share the key: `ssh -J alice@gw` names one as well as alice= does.
	return named(subjects, l, user, errAmbiguousKey)
}

// named picks the subject of a principal.
func named(subjects []authz.Subject, l login, principal string, otherwise error) (*identity, error) {
	i := slices.IndexFunc(subjects, func(s authz.Subject) bool { return s.Principal == principal })
	if i < 0 {
		return nil, otherwise
	}
	return &identity{subject: subjects[i], login: l}, nil
}

// verified is a VerifiedPublicKeyCallback: the one place where an identity comes into being.
func verified(id *identity) *gossh.Permissions {
	return &gossh.Permissions{ExtraData: map[any]any{identityKey{}: id}}
}

// proven returns the identity of a finished handshake.
func proven(sc *gossh.ServerConn) (*identity, error) {
	if sc.Permissions != nil {
		if id, ok := sc.Permissions.ExtraData[identityKey{}].(*identity); ok {
			return id, nil
		}
	}
	return nil, fmt.Errorf("connection of %q without an identity", sc.User())
}
