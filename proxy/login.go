package proxy

import (
	"fmt"
	"strings"
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
		if err := checkAccount(l.Account); err != nil {
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

// maxAccount bounds an account's name, bytes. Unix systems stop at 32; directory services don't.
const maxAccount = 256

// checkAccount refuses what cannot be the name of an account anywhere, or could be taken for an option or a path by a tool.
func checkAccount(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("empty account name")
	case len(name) > maxAccount:
		return fmt.Errorf("account name of %d bytes", len(name))
	case name[0] == '-':
		return fmt.Errorf("account name %q begins with a dash", name)
	}
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c == 0x7f || c == '/' || c == ':' {
			return fmt.Errorf("account name %q has a %q in it", name, c)
		}
	}
	return nil
}
