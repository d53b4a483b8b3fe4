package shim

import "strings"

// setting takes the value of -o: "Key=value", "Key value" and what is between. Keys are OpenSSH's; those that have nothing to act on here
// are checked as there, and ignored.
func (o *options) setting(line string) error {
	key, value := splitSetting(line)
	if key == "" {
		return nil
	}
	if err := o.checkSetting(key, value); err != nil {
		return err
	}
	switch key {
	case "user":
		if o.first(key) {
			o.user = unquote(value)
		}
	case "port":
		return o.setPort(unquote(value), "command-line line 0: Bad port '"+unquote(value)+"'.")
	case "requesttty":
		return o.setTTY(value)
	case "remotecommand":
		if o.first(key) && value != "none" {
			o.command = value
		}
	case "sessiontype":
		return o.setSession(value)
	case "sendenv":
		o.sendEnv = append(o.sendEnv, splitWords(value)...)
	case "setenv":
		if o.first(key) {
			o.setEnv = append(o.setEnv, splitWords(value)...)
		}
	case "loglevel":
		if o.first(key) {
			o.logLevel = strings.ToLower(value)
		}
	case "escapechar":
		return o.setEscape(unquote(value), "command-line line 0: Bad escape character.")
	case "localforward":
		return o.addLocal(strings.Join(splitWords(value), ":"))
	case "dynamicforward":
		return o.addDynamic(value)
	case "remoteforward":
		o.remotes = append(o.remotes, strings.Join(splitWords(value), ":"))
	case "connecttimeout":
		return o.setTimeout(value)
	case "controlpath":
		if o.control == "" {
			o.control = value
		}
	case "ignoreunknown":
		if o.first(key) {
			o.ignored = strings.Split(strings.ToLower(unquote(value)), ",")
		}
	default:
		o.yesNo(key, value)
	}
	return nil
}

// yesNo takes the settings that are true or not, and have been checked.
func (o *options) yesNo(key, value string) {
	var to *bool
	switch key {
	case "stdinnull":
		to = &o.stdinNull
	case "forkafterauthentication":
		to = &o.background
	case "exitonforwardfailure":
		to = &o.strict
	case "clearallforwardings":
		to = &o.clear
	default:
		return
	}
	if o.first(key) && oneOf(unquote(value), "yes true") {
		*to = true
	}
}

func unsupported(value string) error {
	return fatalError("command-line line 0: unsupported option \"" + value + "\".")
}

func (o *options) setTTY(value string) error {
	modes := map[string]ttyMode{
		"auto": ttyAuto, "no": ttyNo, "false": ttyNo, "yes": ttyYes, "true": ttyYes, "force": ttyForce,
	}
	mode, ok := modes[strings.ToLower(value)]
	if !ok {
		return unsupported(value)
	}
	if o.first("requesttty") {
		o.tty = mode
	}
	return nil
}

func (o *options) setSession(value string) error {
	types := map[string]sessionType{"none": typeNone, "subsystem": typeSubsystem, "default": typeDefault}
	t, ok := types[strings.ToLower(value)]
	if !ok {
		return unsupported(value)
	}
	if o.first("sessiontype") && o.session == typeDefault {
		o.session = t
	}
	return nil
}

// setTimeout takes a time, or "none".
func (o *options) setTimeout(value string) error {
	t, err := parseTime(unquote(value))
	if err == nil && o.first("connecttimeout") {
		o.timeout = t
	}
	return err
}

const blanks = " \t\r\n\f"

// splitSetting splits a setting into its key, in lower case, and its value.
func splitSetting(line string) (key, value string) {
	line = strings.Trim(line, blanks)
	if strings.HasPrefix(line, "#") {
		return "", ""
	}
	end := strings.IndexAny(line, blanks+"=")
	if end < 0 {
		return strings.ToLower(line), ""
	}
	key = strings.ToLower(strings.Trim(line[:end], `"`))
	value = strings.TrimLeft(line[end:], blanks)
	if strings.HasPrefix(value, "=") {
		value = strings.TrimLeft(value[1:], blanks)
	}
	return key, value
}

func unquote(s string) string {
	if words := splitWords(s); len(words) > 0 {
		return words[0]
	}
	return ""
}

// splitWords splits at blanks; quotes of both kinds hold words together, and a backslash keeps a quote or itself.
func splitWords(s string) []string {
	var words []string
	var word []byte
	started, quote := false, byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && i+1 < len(s) && strings.IndexByte(`'"\`, s[i+1]) >= 0:
			i++
			word, started = append(word, s[i]), true
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote, started = c, true
		case quote == 0 && strings.IndexByte(blanks, c) >= 0:
			if started {
				words = append(words, string(word))
			}
			word, started = nil, false
		default:
			word, started = append(word, c), true
		}
	}
	if started {
		words = append(words, string(word))
	}
	return words
}
