package shim

import (
	"strings"
	"time"
)

// ttyMode is what was said about a terminal, by -t, -T or RequestTTY.
type ttyMode int

const (
	ttyAuto  ttyMode = iota // as there is a command or not
	ttyNo                   // -T
	ttyYes                  // -t
	ttyForce                // -tt
)

// sessionType is what is asked for at the host.
type sessionType int

const (
	typeDefault sessionType = iota
	typeNone                // -N, -W
	typeSubsystem
)

// options is a parsed command line. As in OpenSSH, of most settings the first one counts.
type options struct {
	host, user string
	port       int // 0 = not given
	command    string
	tty        ttyMode
	session    sessionType
	stdinNull  bool
	background bool
	stdio      *forward // -W
	locals     []forward
	dynamics   []forward
	remotes    []string // -R, as given: refused one by one
	strict     bool     // ExitOnForwardFailure
	clear      bool     // ClearAllForwardings
	sendEnv    []string // patterns; a leading dash takes away
	setEnv     []string // NAME=VALUE
	escape     int      // character; -1 none
	logLevel   string   // lower case; "" = info
	timeout    time.Duration
	printOnly  bool     // -G
	query      string   // -Q
	control    string   // -O
	identities []string // -i: files, only to say that they are not there
	ignored    []string // IgnoreUnknown: patterns
	seen       map[string]bool
}

// noEscape means that no character is an escape.
const noEscape = -1

// flags and valued are OpenSSH's options without and with a value.
const (
	flags  = "1246afgknqstvxACGKMNTVXYy"
	valued = "bceilmopBDEFIJLOPQRSwW"
)

// usageError wants the usage; its text, if any, goes before it.
type usageError string

func (e usageError) Error() string { return string(e) }

// fatalError is one line.
type fatalError string

func (e fatalError) Error() string { return string(e) }

// errVersion is -V.
type errVersion struct{}

func (errVersion) Error() string { return version }

// parse parses OpenSSH's command line, without the program's name: options, the host, more options, the command.
func parse(args []string) (*options, error) {
	o := &options{escape: '~', seen: map[string]bool{}}
	rest, terminated, err := o.flags(args)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		if err := o.destination(rest[0]); err != nil {
			return nil, err
		}
		if rest = rest[1:]; !terminated {
			if rest, _, err = o.flags(rest); err != nil {
				return nil, err
			}
		}
	}
	if o.query != "" {
		return o, nil
	}
	if o.host == "" {
		return nil, usageError("")
	}
	return o, o.finish(strings.Join(rest, " "), len(rest) > 0)
}

// finish takes the command and says what does not go together.
func (o *options) finish(command string, given bool) error {
	switch {
	case o.session == typeSubsystem && !given:
		return usageError("You must specify a subsystem to invoke.")
	case given && o.command != "" && o.session != typeSubsystem:
		return fatalError("Cannot execute command-line and remote command.")
	case given:
		o.command = command
	}
	if o.background && o.command == "" && o.session == typeDefault {
		return fatalError("Cannot fork into background without a command to execute.")
	}
	if o.clear {
		o.locals, o.dynamics, o.remotes = nil, nil, nil
	}
	return nil
}

// flags reads options until the first word that is none. terminated says that "--" ended them.
func (o *options) flags(args []string) (rest []string, terminated bool, err error) {
	for len(args) > 0 {
		word := args[0]
		if word == "--" {
			return args[1:], true, nil
		}
		if len(word) < 2 || word[0] != '-' {
			return args, false, nil
		}
		args = args[1:]
		for i := 1; i < len(word); i++ {
			letter := word[i]
			if strings.IndexByte(flags, letter) >= 0 {
				err = o.flag(letter)
			} else if strings.IndexByte(valued, letter) >= 0 {
				var value string
				switch {
				case i+1 < len(word):
					value = word[i+1:]
				case len(args) > 0:
					value, args = args[0], args[1:]
				default:
					return nil, false, usageError("option requires an argument -- " + string(letter))
				}
				i = len(word)
				err = o.valued(letter, value)
			} else {
				err = usageError("unknown option -- " + string(rune(letter)))
			}
			if err != nil {
				return nil, false, err
			}
		}
	}
	return nil, false, nil
}

// first says whether a setting is given for the first time.
func (o *options) first(name string) bool {
	if o.seen[name] {
		return false
	}
	o.seen[name] = true
	return true
}

// flag takes an option without a value. Those about keys, addresses and forwarding of agents and displays have
// nothing to act on here, as has all that is not listed.
func (o *options) flag(letter byte) error {
	switch letter {
	case '1':
		return fatalError("SSH protocol v.1 is no longer supported")
	case 'V':
		return errVersion{}
	case 'G':
		o.printOnly = true
	case 'f':
		o.background, o.stdinNull = true, true
	case 'n':
		o.stdinNull = true
	case 'q':
		o.logLevel = "quiet"
	case 's':
		o.session = typeSubsystem
	case 't':
		if o.seen["requesttty"] = true; o.tty == ttyYes {
			o.tty = ttyForce
		} else if o.tty != ttyForce {
			o.tty = ttyYes
		}
	case 'T':
		o.seen["requesttty"] = true
		o.tty = ttyNo
	case 'N':
		if o.session == typeDefault {
			o.session = typeNone
		}
	}
	return nil
}

// valued takes an option with its value.
func (o *options) valued(letter byte, value string) error {
	switch letter {
	case 'l':
		if o.first("user") {
			o.user = value
		}
	case 'p':
		return o.setPort(value, "Bad port '"+value+"'")
	case 'o':
		return o.setting(value)
	case 'e':
		return o.setEscape(value, "Bad escape character '"+value+"'.")
	case 'c':
		if !validNames(value, cipherNames) {
			return fatalError("Unknown cipher type '" + value + "'")
		}
	case 'm':
		if !validList(value, macNames) {
			return fatalError("Unknown mac type '" + value + "'")
		}
	case 'i':
		o.identities = append(o.identities, value)
	case 'Q':
		o.query = value
	case 'O':
		return o.controlCommand(value)
	case 'S':
		o.control = value
	case 'W':
		f, ok := parseTarget(value)
		if !ok {
			return fatalError("Bad stdio forwarding specification '" + value + "'")
		}
		o.stdio, o.session, o.tty = &f, typeNone, ttyNo
	case 'L':
		return o.addLocal(value)
	case 'D':
		return o.addDynamic(value)
	case 'R':
		o.remotes = append(o.remotes, value)
	}
	return nil
}

func (o *options) addLocal(value string) error {
	f, ok := parseForward(value)
	if !ok {
		return fatalError("Bad local forwarding specification '" + value + "'")
	}
	o.locals = append(o.locals, f)
	return nil
}

func (o *options) addDynamic(value string) error {
	f, ok := parseListen(value)
	if !ok {
		return fatalError("Bad dynamic forwarding specification '" + value + "'")
	}
	o.dynamics = append(o.dynamics, f)
	return nil
}

func (o *options) setPort(value, complaint string) error {
	port, ok := parsePort(value)
	if !ok {
		return fatalError(complaint)
	}
	if o.first("port") {
		o.port = port
	}
	return nil
}

// setEscape takes a character, ^ and a letter, or "none".
func (o *options) setEscape(value, complaint string) error {
	var char int
	switch {
	case value == "none":
		char = noEscape
	case len(value) == 1:
		char = int(value[0])
	case len(value) == 2 && value[0] == '^' && value[1] >= '@':
		char = int(value[1] & 0x1f)
	default:
		return fatalError(complaint)
	}
	if o.first("escapechar") {
		o.escape = char
	}
	return nil
}

// controlCommand refuses -O: there is no master here to be controlled.
func (o *options) controlCommand(command string) error {
	switch command {
	case "check", "forward", "exit", "stop", "cancel", "proxy", "conninfo", "channels":
	default:
		return fatalError("Invalid multiplex command.")
	}
	if o.control == "" || o.control == "none" {
		return fatalError(`No ControlPath specified for "-O" command`)
	}
	return fatalError("Control socket connect(" + o.control + "): No such file or directory")
}

// destination takes [user@]host or ssh://[user@]host[:port].
func (o *options) destination(word string) error {
	d, isURI, ok := parseURI(word)
	if !isURI {
		d.host = word
		ok = true
		if at := strings.LastIndexByte(word, '@'); at >= 0 {
			d.user, d.host = word[:at], word[at+1:]
			ok = d.user != ""
		}
	}
	if !ok || d.host == "" {
		return usageError("")
	}
	o.host = d.host
	if d.user != "" && o.first("user") {
		o.user = d.user
	}
	if d.port != 0 && o.first("port") {
		o.port = d.port
	}
	return nil
}
