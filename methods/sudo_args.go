package methods

import (
	"errors"
	"slices"
	"strings"
)

// sudoOption is an option of sudo that sudo_args may have, and the parameter it stands for.
type sudoOption struct {
	letter byte
	long   string
	param  string // "": accepted and ignored
	value  bool   // takes one
}

var sudoOptions = []sudoOption{
	{'E', "preserve-env", "preserve_env", false},
	{'H', "set-home", "set_home", false},
	{'i', "login", "login", false},
	{'u', "user", "username", true},
	{'r', "role", "selinux_role", true},
	{'t', "type", "selinux_type", true},
	{'S', "stdin", "", false},
	{'n', "non-interactive", "", false},
}

// mergeSudoArgs takes v's sudo_args apart and puts what they say where the parameters themselves say nothing.
func mergeSudoArgs(m *Method, v values) error {
	args, err := parseSudoArgs(v.list("sudo_args"))
	if err != nil {
		return err
	}
	for name, value := range args {
		param, _ := m.Param(name)
		if value, err = param.value(value); err != nil {
			return errors.New("sudo: " + name + ": " + err.Error())
		}
		if _, given := v[name]; !given {
			v[name] = value
		}
	}
	return nil
}

// parseSudoArgs reads options as sudo's getopt does: bundles, glued values, --long=value, unique prefixes.
func parseSudoArgs(args []string) (map[string]any, error) {
	found := map[string]any{}
	var rest []string
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		var err error
		switch {
		case arg == "--":
			rest, args = append(rest, args...), nil
		case strings.HasPrefix(arg, "--"):
			args, err = longSudoOption(found, arg, args)
		case len(arg) > 1 && arg[0] == '-':
			args, err = shortSudoOptions(found, arg[1:], args)
		default:
			rest = append(rest, arg)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(rest) > 0 {
		return nil, errors.New("unsupported sudo arguments:" + pyList(rest))
	}
	return found, nil
}

func shortSudoOptions(found map[string]any, bundle string, args []string) ([]string, error) {
	for i := range len(bundle) {
		name := "-" + bundle[i:i+1]
		n := slices.IndexFunc(sudoOptions, func(o sudoOption) bool { return o.letter == bundle[i] })
		switch {
		case name == "-h":
			return nil, errors.New("sudo: unsupported option")
		case n < 0:
			return nil, errors.New("sudo: no such option: " + printable(name))
		case !sudoOptions[n].value:
			sudoOptions[n].set(found, "")
		case i+1 < len(bundle):
			sudoOptions[n].set(found, bundle[i+1:])
			return args, nil
		default:
			return takeSudoValue(found, sudoOptions[n], name, args)
		}
	}
	return args, nil
}

func longSudoOption(found map[string]any, arg string, args []string) ([]string, error) {
	name, value, glued := strings.Cut(arg, "=")
	option, err := matchSudoOption(name)
	switch {
	case err != nil:
		return nil, err
	case glued && !option.value:
		return nil, errors.New("sudo: --" + option.long + " option does not take a value")
	case glued:
		option.set(found, value)
		return args, nil
	case option.value:
		return takeSudoValue(found, option, "--"+option.long, args)
	}
	option.set(found, "")
	return args, nil
}

// matchSudoOption finds a long option by its name or an unambiguous beginning of it.
func matchSudoOption(name string) (sudoOption, error) {
	var matches []sudoOption
	for _, o := range sudoOptions {
		if "--"+o.long == name {
			return o, nil
		}
		if strings.HasPrefix("--"+o.long, name) {
			matches = append(matches, o)
		}
	}
	switch {
	case len(matches) == 1:
		return matches[0], nil
	case len(matches) > 1:
		return sudoOption{}, errors.New("sudo: ambiguous option: " + printable(name))
	case len(name) > 2 && strings.HasPrefix("--help", name):
		return sudoOption{}, errors.New("sudo: unsupported option")
	}
	return sudoOption{}, errors.New("sudo: no such option: " + printable(name))
}

func takeSudoValue(found map[string]any, o sudoOption, name string, args []string) ([]string, error) {
	if len(args) == 0 {
		return nil, errors.New("sudo: " + name + " option requires 1 argument")
	}
	o.set(found, args[0])
	return args[1:], nil
}

func (o sudoOption) set(found map[string]any, value string) {
	switch {
	case o.param == "":
	case o.value:
		found[o.param] = value
	default:
		found[o.param] = true
	}
}
