// echoagent is the smallest program that the first stage can start. It announces itself and then sends
// back what it gets. The tests compile it.
package main

import (
	"errors"
	"io"
	"os"
	"strconv"
	"strings"

	"fakessh/bootstrap"
)

// stamp makes builds differ; set by the linker.
var stamp = "1"

func main() {
	if len(os.Args) < 2 || os.Args[1] != "agent" {
		os.Exit(2)
	}
	cfg, err := bootstrap.ParseAgentArgs(os.Args[2:])
	switch {
	case errors.Is(err, bootstrap.ErrProbe):
		return
	case err != nil:
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(2)
	}
	bootstrap.Discard(cfg)
	caps := []string{"echo", "uid=" + strconv.Itoa(os.Geteuid()), "name=" + strings.ReplaceAll(cfg.RemoteName, " ", "_")}
	if err := bootstrap.Announce(os.Stdout, stamp, caps); err != nil {
		os.Exit(1)
	}
	io.Copy(os.Stdout, os.Stdin)
}
