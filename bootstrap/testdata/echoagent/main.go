// echoagent is the smallest program that the first stage can start. It announces itself and then sends
// back what it gets. The tests compile it.
package main

import (
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"

	"fakessh/bootstrap"
)

// stamp is the protocol version it claims. The tests change it in the executable to have another build.
var stamp = "echo-1"

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
	umask := syscall.Umask(0)
	syscall.Umask(umask)
	caps := []string{
		"uid=" + strconv.Itoa(os.Geteuid()),
		"umask=" + strconv.FormatInt(int64(umask), 8),
		"name=" + strings.ReplaceAll(cfg.RemoteName, " ", "_"),
	}
	if err := bootstrap.Announce(os.Stdout, stamp, caps); err != nil {
		os.Exit(1)
	}
	io.Copy(os.Stdout, os.Stdin)
}
