// Command fakessh is the one program that is shipped to targets. What it does depends on the name and
// the first word it is started with: the agent of a context, or the ssh that local tools find during a run.
package main

import (
	"os"

	"fakessh/bootstrap/agent/role"
)

func main() {
	status, ok := role.Main(os.Args)
	if !ok {
		os.Stderr.WriteString("fakessh is started by fakesshd; it is of no use by itself\n")
		status = 2
	}
	os.Exit(status)
}
