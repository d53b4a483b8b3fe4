package fakessh

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"fakessh/bootstrap/agent/session"
	"fakessh/methods"
	"fakessh/router"
)

// accountParam is the parameter by which methods are told an account.
const accountParam = "username"

// rootAccount is the name of uid 0.
const rootAccount = "root"

// Dest is where something runs: a target and an account in it; "" is the target's own account.
type Dest struct {
	Target  Target
	Account string
}

// String is "account@target", or the target alone.
func (d Dest) String() string {
	if d.Account == "" {
		return d.Target.String()
	}
	return d.Account + "@" + d.Target.String()
}

// accountStep is the connection that leads from target's own context to account. need is false when that context serves.
func accountStep(target Target, account, become string, own session.Info) (s methods.Spec, need bool, err error) {
	switch {
	case account == "" || account == own.User:
		return methods.Spec{}, false, nil
	case own.UID == 0:
		return becomeSpec("setuid", account), true, nil
	case become != "":
		return becomeSpec(become, account), true, nil
	}
	return methods.Spec{}, false, &NoAccountError{Account: account, Target: target.String(), Own: own.User}
}

// account is the own account of the context at the end of c: the one that the method is told, or takes when it is told none.
// "" when only the agent will know.
func (c chain) account() string {
	spec := c.last().spec
	account, _ := spec.Params[accountParam].(string)
	if m, ok := methods.Lookup(spec.Method); ok && account == "" {
		i := slices.IndexFunc(m.Params, func(p methods.Param) bool { return p.Name == accountParam })
		if i >= 0 {
			account, _ = m.Params[i].Default.(string)
		}
	}
	if CheckAccount(account) != nil {
		return "" // an id, or an account with a group
	}
	return account
}

// isNoAccount recognises setuid's word that there is no such account, from the gateway itself or from an agent.
func isNoAccount(err error) bool {
	var missing *methods.AccountError
	var call *router.CallError
	return errors.As(err, &missing) || errors.As(err, &call) && call.Type == session.TypeAccount
}

func becomeSpec(method, account string) methods.Spec {
	return methods.Spec{Method: method, Params: methods.Params{accountParam: account}}
}

// maxAccountPart bounds an account's name and, apart from it, its domain, bytes. Unix systems stop at 32.
const maxAccountPart = 64

// CheckAccount refuses what is not the portable name of an account (POSIX 3.437, in the narrower form of useradd(8)): a letter or _, then
// letters, digits and ._-, and perhaps a $ at the end; before it there may be a domain, "CORP\bob". It serves every place where an account is typed: tools
// give other texts a meaning of their own ("#0" is root to sudo, "0" to doas and docker), and policy would be asked about the wrong account.
func CheckAccount(account string) error {
	name := account
	domain, rest, has := strings.Cut(account, `\`)
	if has {
		name = rest
	}
	if !accountPart(strings.TrimSuffix(name, "$")) || has && !accountPart(domain) {
		return fmt.Errorf("account %.80q: no name of an account", account)
	}
	return nil
}

func accountPart(s string) bool {
	letter := func(c byte) bool { return isLower(c|0x20) || c == '_' }
	return s != "" && len(s) <= maxAccountPart && letter(s[0]) && all(s, func(c byte) bool { return letter(c) || isDigit(c) || isMark(c) })
}
