package main

import (
	"fmt"
	"maps"
	"net"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"fakessh"
	"fakessh/proxy"
)

func knownHostsCommand(opt *options, std stdio) *cobra.Command {
	return &cobra.Command{
		Use:   "known-hosts",
		Short: "lines for ~/.ssh/known_hosts: the gateway's key, and its CA for the targets' names",
		Long: `known-hosts prints the gateway's host key for the addresses that it listens on, and @cert-authority lines for the exact names of the
inventory and for names with hops (*+*). The key of a gateway that listens on every address is printed for this machine's name and its
names for itself: take out what you do not connect to. For names that also exist as real hosts the line is needed: without it the client
would compare the gateway's certificate with the real host's key.`,
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
				fmt.Fprintln(std.out, knownhosts.Line(clientAddresses(addr), keys.Key.PublicKey()))
			}
			fmt.Fprint(std.out, proxy.KnownHosts(cfg.virtualHosts(), keys.CA.PublicKey()))
			return nil
		},
	}
}

// clientAddresses are what clients may call a listening address. Of a wildcard, which is no address, that is the machine's name, and its
// names for itself.
func clientAddresses(addr string) []string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return []string{addr}
	}
	if ip := net.ParseIP(host); host != "" && (ip == nil || !ip.IsUnspecified()) {
		return []string{addr}
	}
	hosts := []string{"localhost", "127.0.0.1"}
	if host != "0.0.0.0" {
		hosts = append(hosts, "::1")
	}
	if name, err := os.Hostname(); err == nil && name != "" && name != "localhost" {
		hosts = append([]string{name}, hosts...)
	}
	for i := range hosts {
		hosts[i] = net.JoinHostPort(hosts[i], port)
	}
	return hosts
}

// virtualHosts are the names of the inventory, and local, that the gateway answers for itself.
func (c *config) virtualHosts() []string {
	names := slices.Sorted(maps.Keys(c.Targets))
	names = slices.DeleteFunc(names, func(name string) bool {
		jump := c.Targets[name].Jump
		return jump != "" && jump != string(proxy.JumpTerminate)
	})
	if _, ok := c.Targets[fakessh.LocalTarget]; !ok {
		names = append([]string{fakessh.LocalTarget}, names...)
	}
	return names
}

// hostSigners are the keys that the gateway proves itself with.
func hostSigners(keys *proxy.HostKeys) []ssh.Signer { return []ssh.Signer{keys.Key} }
