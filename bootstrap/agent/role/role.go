// Package role chooses what the shipped program is: by the name it was started under, or by its first word.
package role

import (
	"path"

	"fakessh/bootstrap/agent"
	"fakessh/bootstrap/agent/shim"
)

// words are the roles chosen by the first argument.
var words = map[string]func(args []string) int{
	"agent": agent.Main, // of a context
}

// names are the roles chosen by the name that the program was started under; they get the whole command line.
var names = map[string]func(args []string) int{
	"ssh":  shim.Main, // that local tools find during a run
	"scp":  shim.Main,
	"sftp": shim.Main,
}

// Main plays the role that args (as os.Args) name, and returns its exit status. ok is false where they name none.
func Main(args []string) (status int, ok bool) {
	if len(args) > 0 {
		if main, is := names[path.Base(args[0])]; is {
			return main(args), true
		}
	}
	if len(args) > 1 {
		if main, is := words[args[1]]; is {
			return main(args[2:]), true
		}
	}
	return 0, false
}
