package fakessh

import (
	"os"
	"os/user"
	"path/filepath"
	"slices"
)

const (
	controlSocketName   = "control.sock"
	systemControlSocket = "/run/fakesshd/" + controlSocketName
)

// DefaultControlSocket is where a daemon listens unless it is told otherwise: $XDG_RUNTIME_DIR/fakesshd/control.sock, else
// /run/fakesshd/control.sock for root, else control.sock in DefaultStateDir.
func DefaultControlSocket() string {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "fakesshd", controlSocketName)
	}
	if os.Geteuid() == 0 {
		return systemControlSocket
	}
	return filepath.Join(DefaultStateDir(), controlSocketName)
}

// ControlSockets are where a daemon is looked for: the user's own goes before the system's.
func ControlSockets() []string {
	return slices.Compact([]string{DefaultControlSocket(), systemControlSocket})
}

// DefaultStateDir is where a daemon keeps what has to stay unless it is told otherwise: $XDG_STATE_HOME/fakesshd, else
// .local/state/fakesshd in the home directory.
func DefaultStateDir() string {
	dir := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(home(), ".local", "state")
	}
	return filepath.Join(dir, "fakesshd")
}

// home is $HOME, or the account's; services of the system have no $HOME.
func home() string {
	if dir, err := os.UserHomeDir(); err == nil {
		return dir
	}
	if me, err := user.Current(); err == nil && me.HomeDir != "" {
		return me.HomeDir
	}
	return "/"
}
