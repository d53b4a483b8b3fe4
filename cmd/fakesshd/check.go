package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"

	"github.com/spf13/cobra"

	"fakessh"
	"fakessh/authz"
	"fakessh/methods"
)

func checkCommand(opt *options, std stdio) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "read the configuration, the keys and the policy, and report every mistake",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := loadConfig(opt.config)
			if err != nil {
				return err
			}
			warnings, err := cfg.check()
			if err != nil {
				return err
			}
			for _, w := range warnings {
				fmt.Fprintln(std.err, "fakesshd: warning:", w)
			}
			fmt.Fprintf(std.out, "%s: good: %d users, %d targets\n", cfg.name(), len(cfg.Users), len(cfg.Targets))
			return nil
		},
	}
}

// name is how messages call the configuration.
func (c *config) name() string {
	if c.File == "" {
		return "built-in configuration"
	}
	return c.File
}

// check reads what the configuration refers to. Warnings are about what works and is unwise.
func (c *config) check() (warnings []string, err error) {
	users, err := c.users()
	if err != nil {
		return nil, err
	}
	if _, err := c.policy(); err != nil {
		return nil, err
	}
	if err := c.secrets(); err != nil {
		return nil, err
	}
	im, err := loadImages()
	if err != nil {
		return nil, err
	}
	tree, err := newTree(c, im, nil)
	if err != nil {
		return nil, err
	}
	defer tree.Close()
	if _, err := fakessh.NewExits(c.Exits); err != nil {
		return nil, err
	}
	for _, p := range users.Problems() {
		warnings = append(warnings, p.Error())
	}
	return append(warnings, c.unwise()...), nil
}

// secrets reads the files with secrets. Commands are not run, and the environment may be another one here.
func (c *config) secrets() error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(c.Targets)) {
		spec := c.Targets[name].Spec
		files := methods.Spec{Method: spec.Method, Params: methods.Params{}}
		for param, v := range spec.Params {
			if !strings.HasSuffix(param, "_command") && !strings.HasSuffix(param, "_env") {
				files.Params[param] = v
			}
		}
		if _, err := methods.ResolveSecrets(context.Background(), files); err != nil {
			errs = append(errs, fmt.Errorf("target %q: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// unwise lists what `check` warns about.
func (c *config) unwise() []string {
	var list []string
	if c.File != "" && c.Policy == "" {
		list = append(list, "no policy: nobody may anything")
	}
	if len(c.Users) == 0 {
		list = append(list, "no users: nobody can log in")
	}
	for name, t := range c.Targets {
		for param, v := range t.Spec.Params {
			if _, literal := v.(methods.Secret); literal {
				list = append(list, fmt.Sprintf("target %s: %s is written in the file; %s_file, %s_command or %s_env keep it out", name, param, param, param, param))
			}
		}
	}
	sort.Strings(list)
	return list
}

// users are the principals with their keys.
func (c *config) users() (*authz.Users, error) {
	users := map[string]authz.User{}
	for name, u := range c.Users {
		users[name] = authz.User(u)
	}
	return authz.NewUsers(users)
}

// policy is the file's, or what stands for it.
func (c *config) policy() (*authz.Policy, error) {
	switch {
	case c.Policy != "":
		return authz.LoadPolicy(c.Policy)
	case c.File != "":
		return authz.NoPolicy(), nil
	}
	for name, u := range c.Users { // without a file there is one user
		return authz.BuiltinPolicy(name, u.Unix), nil
	}
	return authz.NoPolicy(), nil
}
