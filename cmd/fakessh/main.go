// Command fakessh is the one program that is shipped to targets. What it does depends on the name and
// the first word it is started with: the agent of a context, or the ssh that local tools find during a run.
package main

import (
	"os"
	"path"

	"fakessh/bootstrap/agent"
)

// words are the roles chosen by the first argument.
var words = map[string]func(args []string) int{
	"agent": agent.Main,
}

// names are the roles chosen by the name the program was started under.
var names = map[string]func(args []string) int{}

func main() { os.Exit(run(os.Args)) }

func run(args []string) int {
	if len(args) > 0 {
		if role, ok := names[path.Base(args[0])]; ok {
			return role(args)
		}
	}
	if len(args) > 1 {
		if role, ok := words[args[1]]; ok {
			return role(args[2:])
		}
	}
	os.Stderr.WriteString("fakessh is started by fakesshd; it is of no use by itself\n")
	return 2
}
