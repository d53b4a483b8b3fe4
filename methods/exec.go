package methods

import "errors"

// execMethod uses any command that gives a shell on stdin and stdout: chroot, nsenter, plink, a wrapper of one's own.
var execMethod = &Method{
	Name: "exec",
	Help: "any command that gives a POSIX shell on its stdin and stdout",
	Params: []Param{
		{Name: "command", Kind: KindList, Required: true, Help: "program and arguments"},
	},
	boots: byStdin,
	name:  func(v values) string { return baseName(v.list("command")[0]) },
	argv: func(v values, _ []string) ([]string, error) {
		if v.list("command")[0] == "" {
			return nil, errors.New("exec: command has no program")
		}
		return v.list("command"), nil
	},
}
