package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"fakessh"
	"fakessh/authz"
)

// parts are what a configuration means of which a gateway at work can be given another: read whole, or not at all.
type parts struct {
	users   *authz.Users
	policy  *authz.Policy
	targets map[string]fakessh.TargetConfig
	exits   *fakessh.Exits
}

// parts reads the files that the configuration names. The error has a line for every mistake.
func (c *config) parts() (p *parts, err error) {
	var errs [5]error
	p = &parts{targets: c.inventory()}
	p.users, errs[0] = c.users()
	p.policy, errs[1] = c.policy()
	if c.File == "" { // a file's targets were checked with their lines
		wrong := fakessh.CheckTargets(p.targets)
		for _, name := range slices.Sorted(maps.Keys(wrong)) {
			errs[2] = errors.Join(errs[2], wrong[name])
		}
	}
	if p.exits, errs[3] = fakessh.NewExits(c.Exits); c.lines != nil {
		errs[3] = nil // said with its line
	}
	errs[4] = c.checkSSHConfig()
	return p, errors.Join(errs[:]...)
}

// checkSSHConfig looks at the file for ssh hops: it names programs that the gateway runs, and ssh trusts a file that it is given.
func (c *config) checkSSHConfig() error {
	if c.SSHConfig == "" || c.SSHConfig == "none" {
		return nil
	}
	f, err := authz.OpenTrusted(c.SSHConfig)
	if err != nil {
		return fmt.Errorf("ssh_config: %w", err)
	}
	return f.Close()
}

// reload reads the configuration again and puts it in force, all or nothing. Sessions and connections stay, with who they are; what
// they ask for from now on is decided by the new policy.
func (d *daemon) reload() error {
	cfg, err := loadConfig(d.cfg.File)
	if err != nil {
		return err
	}
	p, err := cfg.parts()
	if err != nil {
		return err
	}
	if err := d.tree.Update(p.targets); err != nil { // the only one that may fail; it changes nothing then
		return err
	}
	d.users.Replace(p.users)
	d.decider.SetPolicy(p.policy)
	d.backend.SetExits(p.exits)
	d.unusable(p.users)
	for _, key := range d.cfg.fixed(cfg) {
		d.log.Warn("configuration: this takes a restart", "key", key)
	}
	d.log.Info("configuration reloaded", "file", cfg.name(), "users", len(cfg.Users), "targets", len(cfg.Targets))
	return nil
}

// unusable logs the lines of key files that were left out.
func (d *daemon) unusable(users *authz.Users) {
	for _, p := range users.Problems() {
		d.log.Warn("unusable key", "err", p)
	}
}

// fixed are the keys that differ in other and hold from start to end.
func (c *config) fixed(other *config) (keys []string) {
	for _, k := range []struct {
		key    string
		differ bool
	}{
		{"listen", !slices.Equal(c.Listen, other.Listen)},
		{"state_dir", c.StateDir != other.StateDir},
		{"control_socket", c.ControlSocket != other.ControlSocket},
		{"idle", c.Idle != other.Idle},
		{"login_grace", c.LoginGrace != other.LoginGrace},
		{"keepalive", c.Keepalive != other.Keepalive},
		{"drain", c.Drain != other.Drain},
		{"prefer_gcm", c.PreferGCM != other.PreferGCM},
		{"accept_env", !slices.Equal(c.AcceptEnv, other.AcceptEnv)},
	} {
		if k.differ {
			keys = append(keys, k.key)
		}
	}
	return keys
}
