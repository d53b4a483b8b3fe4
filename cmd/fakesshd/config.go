package main

import (
	"errors"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"fakessh"
	"fakessh/authz"
)

// config is the daemon's configuration: what the file says, defaults filled in.
type config struct {
	File          string // "" = no file: the built-in configuration for the user who starts it
	Listen        []string
	StateDir      string
	ControlSocket string   // where the daemon listens
	Sockets       []string // where a daemon is looked for
	Users         map[string]userConfig
	Targets       map[string]fakessh.TargetConfig
	Exits         map[string]string // host pattern → target name
	Policy        string            // path of a Cedar file; "" with a File: nobody may anything
	SSHConfig     string            // for ssh hops: "" = the account's ~/.ssh/config, "none", or a path
	Idle          time.Duration     // 0 = never close idle contexts
	LoginGrace    time.Duration
	Keepalive     time.Duration
	Drain         time.Duration // how long sessions may go on when the gateway stops
	PreferGCM     bool
	AcceptEnv     []string // variables that clients may set, beside authz.DefaultEnv

	// Of the file's entries, "user alice", "target web1", "exit *.corp": where they stand, and which were not understood.
	lines map[string]*yaml.Node
	bad   map[string]bool
}

// userConfig is one principal.
type userConfig struct {
	Keys       []string // authorized_keys lines, or "file:PATH"
	Groups     []string
	LoginNames []string
	Unix       string // the local account that acts as this principal on the control socket
}

const (
	defaultListen     = "127.0.0.1:2222"
	defaultIdle       = 10 * time.Minute
	defaultLoginGrace = 60 * time.Second
	defaultKeepalive  = 15 * time.Second
	defaultDrain      = 500 * time.Millisecond
)

// maxConfig bounds a configuration file, bytes.
const maxConfig = 16 << 20

// loadConfig reads file, or makes the built-in configuration when file is "".
func loadConfig(file string) (*config, error) {
	cfg, err := readConfig(file)
	if err != nil {
		return nil, byLine(err)
	}
	return cfg, nil
}

// readConfig is loadConfig that also returns what could be understood of a file with mistakes; nil if nothing could.
func readConfig(file string) (*config, error) {
	cfg := &config{
		File:       file,
		Listen:     []string{defaultListen},
		Users:      map[string]userConfig{},
		Targets:    map[string]fakessh.TargetConfig{},
		Exits:      map[string]string{},
		Idle:       defaultIdle,
		LoginGrace: defaultLoginGrace,
		Keepalive:  defaultKeepalive,
		Drain:      defaultDrain,
		PreferGCM:  true,
	}
	if file == "" {
		if err := cfg.builtin(); err != nil {
			return nil, err
		}
	} else {
		text, err := authz.ReadTrusted(file, maxConfig) // who can change it may do all that the gateway may
		if err != nil {
			return nil, err
		}
		err = cfg.parse(file, text)
		if err != nil && cfg.lines == nil {
			return nil, err
		}
		cfg.fillPaths()
		return cfg, err
	}
	cfg.fillPaths()
	return cfg, nil
}

// builtin is the configuration without a file: the user who starts the daemon, by the keys that open their account.
func (c *config) builtin() error {
	me, err := user.Current()
	if err != nil {
		return err
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = me.HomeDir
	}
	keys, err := ownKeys(home)
	if err != nil {
		return err
	}
	c.Users[me.Username] = userConfig{Keys: keys, Unix: me.Username}
	return nil
}

// ownKeys lists the public keys of a home directory: authorized_keys and id_*.pub.
func ownKeys(home string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(home, ".ssh", "id_*.pub"))
	if err != nil {
		return nil, err
	}
	auth := filepath.Join(home, ".ssh", "authorized_keys")
	if _, err := os.Stat(auth); err == nil {
		files = append([]string{auth}, files...)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	keys := make([]string, len(files))
	for i, f := range files {
		keys[i] = "file:" + f
	}
	return keys, nil
}

// envList is what clients may set in their sessions. Its names have been checked where they stand.
func (c *config) envList() *authz.EnvList {
	list, err := authz.NewEnvList(slices.Concat(authz.DefaultEnv, c.AcceptEnv)...)
	if err != nil {
		list = authz.DefaultEnvList()
	}
	return &list
}

// fillPaths sets the places that the file leaves open.
func (c *config) fillPaths() {
	if c.StateDir == "" {
		c.StateDir = fakessh.DefaultStateDir()
	}
	if c.ControlSocket != "" {
		c.Sockets = []string{c.ControlSocket}
		return
	}
	c.ControlSocket, c.Sockets = fakessh.DefaultControlSocket(), fakessh.ControlSockets()
}
