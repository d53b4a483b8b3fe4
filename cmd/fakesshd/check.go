package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"
	"strings"

	"github.com/spf13/cobra"

	"fakessh/authz"
	"fakessh/methods"
)

func checkCommand(opt *options, std stdio) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "read the configuration, the keys and the policy, and report every mistake",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := readConfig(opt.config)
			if cfg == nil {
				return err
			}
			warnings, more := cfg.check()
			if err = byLine(errors.Join(err, more)); err != nil {
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

// check reads what the configuration refers to, every file of it whatever the others hold. Warnings are about what works and is unwise.
func (c *config) check() (warnings []string, err error) {
	p, err := c.parts()
	_, imagesErr := loadImages()
	if err = errors.Join(err, c.secrets(), imagesErr); err != nil {
		return nil, err
	}
	for _, p := range p.users.Problems() {
		warnings = append(warnings, p.Error())
	}
	return append(warnings, c.unwise()...), nil
}

// at gives an error the line of the entry that it is about, if that stands in a file.
func (c *config) at(entry string, err error) error {
	if n := c.lines[entry]; n != nil && err != nil {
		return &configError{c.File, n.Line, err.Error()}
	}
	return err
}

// secrets reads the files with secrets. Commands are not run, and the environment may be another one here.
func (c *config) secrets() error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(c.Targets)) {
		if c.bad["target "+name] {
			continue
		}
		spec := c.Targets[name].Spec
		files := methods.Spec{Method: spec.Method, Params: methods.Params{}}
		for param, v := range spec.Params {
			if !strings.HasSuffix(param, "_command") && !strings.HasSuffix(param, "_env") {
				files.Params[param] = v
			}
		}
		if _, err := methods.ResolveSecrets(context.Background(), files); err != nil {
			errs = append(errs, c.at("target "+name, fmt.Errorf("target %q: %w", name, err)))
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
	for name, u := range c.Users {
		if len(u.Keys) == 0 && u.Unix == "" {
			list = append(list, fmt.Sprintf("user %s: neither keys nor unix: nobody can be that user", name))
		}
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
	entries := map[string]authz.User{}
	for name, u := range c.Users {
		if !c.bad["user "+name] {
			entries[name] = authz.User(u)
		}
	}
	users, err := authz.NewUsers(entries)
	var errs []error
	for _, err := range split(err) {
		if one := new(authz.UserError); errors.As(err, &one) {
			err = c.at("user "+one.Name, err)
		}
		errs = append(errs, err)
	}
	return users, errors.Join(errs...)
}

// split takes joined errors apart.
func split(err error) (list []error) {
	joined, ok := err.(interface{ Unwrap() []error })
	switch {
	case ok:
		for _, one := range joined.Unwrap() {
			list = append(list, split(one)...)
		}
	case err != nil:
		list = append(list, err)
	}
	return list
}

// byLine puts joined errors in the order of the file's lines; what is not about a line of it comes last.
func byLine(err error) error {
	list := split(err)
	line := func(err error) int {
		if at := new(configError); errors.As(err, &at) {
			return at.Line
		}
		return math.MaxInt
	}
	slices.SortStableFunc(list, func(a, b error) int { return cmp.Compare(line(a), line(b)) })
	return errors.Join(list...)
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
