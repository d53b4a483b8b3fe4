package main

import (
	"fmt"
	"maps"
	"net"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"fakessh/proxy"
)

func knownHostsCommand(opt *options, std stdio) *cobra.Command {
	return &cobra.Command{
		Use:   "known-hosts",
		Short: "lines for ~/.ssh/known_hosts: the gateway's key, and its CA for the targets' names",
		Long: `known-hosts prints the gateway's host key for the addresses that it listens on, and @cert-authority lines for the exact names of the
inventory and for names with hops (*+*). For names that also exist as real hosts the line is needed: without it the client would
compare the gateway's certificate with the real host's key.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := loadConfig(opt.config)
			if err != nil {
				return err
			}
			keys, err := proxy.LoadHostKeys(cfg.StateDir)
			if err != nil {
				return err
			}
			for _, addr := range cfg.Listen {
				fmt.Fprintln(std.out, knownhosts.Line([]string{clientAddress(addr)}, keys.Key.PublicKey()))
			}
			fmt.Fprint(std.out, proxy.KnownHosts(cfg.targetNames(), keys.CA.PublicKey()))
			return nil
		},
	}
}

// clientAddress is how a client on this machine reaches a listening address.
func clientAddress(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// targetNames are the inventory's names, and local.
func (c *config) targetNames() []string {
	names := slices.Sorted(maps.Keys(c.Targets))
	if _, ok := c.Targets["local"]; !ok {
		names = append([]string{"local"}, names...)
	}
	return names
}

// hostSigners are the keys that the gateway proves itself with.
func hostSigners(keys *proxy.HostKeys) []ssh.Signer { return []ssh.Signer{keys.Key} }
