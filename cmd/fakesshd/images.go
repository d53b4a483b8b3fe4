package main

import (
	"log/slog"
	"os"
	"path/filepath"

	"fakessh"
	"fakessh/bootstrap"
	"fakessh/bootstrap/images"
)

// loadImages are the embedded builds of the shipped program. Without them the own executable serves the own platform.
func loadImages() (*bootstrap.Images, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return bootstrap.NewImages(images.FS(), self)
}

// platforms lists the embedded builds, for `version`.
func platforms() []string {
	im, err := loadImages()
	if err != nil {
		return nil
	}
	var list []string
	for _, p := range im.Platforms() {
		list = append(list, string(p))
	}
	return list
}

// knownHostsFile is where the host keys of targets are kept beside the gateway account's own.
func (c *config) knownHostsFile() string { return filepath.Join(c.StateDir, "known_hosts") }

// inventory is the targets as the tree takes them: ssh hops of the gateway get the account's ssh_config and the state
// directory's known hosts, where they do not say otherwise themselves.
func (c *config) inventory() map[string]fakessh.TargetConfig {
	targets := make(map[string]fakessh.TargetConfig, len(c.Targets))
	for name, t := range c.Targets {
		if t.Spec.Method == "ssh" {
			c.sshDefaults(t)
		}
		targets[name] = t
	}
	return targets
}

// treeConfig is all that a tree is made of.
func (c *config) treeConfig(im *bootstrap.Images) fakessh.Config {
	return fakessh.Config{Targets: c.inventory(), Images: im, Idle: never(c.Idle), Keepalive: never(c.Keepalive)}
}

// newTree is the tree that the configuration describes.
func newTree(cfg *config, im *bootstrap.Images, log *slog.Logger) (*fakessh.Tree, error) {
	tc := cfg.treeConfig(im)
	tc.Logger = log
	return fakessh.NewTree(tc)
}

// sshDefaults fills in what the configuration says for all ssh hops of the gateway.
func (c *config) sshDefaults(t fakessh.TargetConfig) {
	if t.Via != "" {
		return // that ssh runs in another context, with that account's files
	}
	if _, set := t.Spec.Params["ssh_config"]; !set && c.SSHConfig != "" {
		t.Spec.Params["ssh_config"] = c.SSHConfig
	}
	if _, set := t.Spec.Params["known_hosts_files"]; !set {
		t.Spec.Params["known_hosts_files"] = []string{c.knownHostsFile(), "~/.ssh/known_hosts"}
	}
}
