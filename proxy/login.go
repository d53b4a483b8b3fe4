package proxy

import (
	"fmt"
	"strings"

	"fakessh"
)

// login is a user name as typed: [principal=][account@]target. Each part may be empty.
type login struct {
	Principal string
	Account   string
	Target    string
}

// maxLoginName bounds a user name, bytes.
const maxLoginName = 1024

// parseLogin splits a user name. The principal ends at the last "=", so that it may be a mail address; the account ends at the
// last "@". Whether the target exists is not decided here: the user name of a -J connection is anything at all.
func parseLogin(user string) (login, error) {
	if len(user) > maxLoginName {
		return login{}, fmt.Errorf("user name of %d bytes", len(user))
	}
	var l login
	if i := strings.LastIndexByte(user, '='); i >= 0 {
		l.Principal, user = user[:i], user[i+1:]
		if l.Principal == "" {
			return login{}, fmt.Errorf("user name %q names no principal before %q", "="+user, "=")
		}
	}
	if i := strings.LastIndexByte(user, '@'); i >= 0 {
		l.Account, user = user[:i], user[i+1:]
		if err := fakessh.CheckAccount(l.Account); err != nil {
			return login{}, err
		}
	}
	l.Target = user
	return l, nil
}

// String is the user name that parses to l.
func (l login) String() string {
	s := l.Target
	if l.Account != "" {
		s = l.Account + "@" + s
	}
	if l.Principal != "" {
		s = l.Principal + "=" + s
	}
	return s
}
