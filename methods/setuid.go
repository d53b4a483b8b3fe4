package methods

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"

	"fakessh/bootstrap"
)

// setuidMethod lets an agent that is root become another account by itself: groups, gid, uid and the same program again. There is no
// shell and no tool in it, so nothing is asked and nothing is logged by sudo.
var setuidMethod = &Method{
	Name:  "setuid",
	Help:  "another account on the same machine, where the agent is root",
	Short: "username",
	Params: []Param{
		{Name: "username", Kind: KindString, Required: true, Operand: true, Help: "the account"},
	},
	local:   true,
	boots:   direct,
	prepare: setuidPrepare,
	argv:    func(_ values, boot []string) ([]string, error) { return boot, nil },
}

func setuidPrepare(ctx context.Context, v values, images *bootstrap.Images, c *command) error {
	if os.Geteuid() != 0 {
		return errors.New("setuid: the agent is not root")
	}
	acc, ok := AccountNamed(ctx, v.text("username"))
	if !ok {
		return &AccountError{Name: v.text("username")}
	}
	c.cred = &syscall.Credential{Uid: uint32(acc.UID), Gid: uint32(acc.GID), Groups: groupsOf(ctx, acc)}
	c.env = accountEnv(acc, os.Environ())
	c.dir = acc.Home
	var err error
	c.image, err = ownImage(images)
	return err
}

// accountEnv is the environment of a new login, less what only a session knows. Root's own stays behind: there may be secrets in it.
func accountEnv(acc Account, environ []string) []string {
	env := []string{"HOME=" + acc.Home, "USER=" + acc.Name, "LOGNAME=" + acc.Name, "SHELL=" + acc.Shell}
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if name == "PATH" || name == "TZ" || name == "LANG" || strings.HasPrefix(name, "LC_") {
			env = append(env, entry)
		}
	}
	return env
}
