package fakessh

import (
	"errors"
	"fmt"
	"slices"

	"fakessh/bootstrap/agent/session"
	"fakessh/methods"
	"fakessh/router"
)

// accountParam is the parameter by which methods are told an account.
const accountParam = "username"

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
	if checkAccount(account) != nil || all(account, isDigit) {
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

// checkAccount refuses what no account is called and tools could misread.
func checkAccount(account string) error {
	const limit = 128
	bad := func(c byte) bool { return c <= ' ' || c >= 0x7f || c == ':' || c == '/' || c == ',' }
	switch {
	case len(account) > limit:
		return fmt.Errorf("account %.40q…: longer than %d bytes", account, limit)
	case account != "" && (account[0] == '-' || !all(account, func(c byte) bool { return !bad(c) })):
		return fmt.Errorf("account %q: no name of an account", account)
	}
	return nil
}
