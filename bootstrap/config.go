package bootstrap

import (
	"errors"
	"slices"
	"strconv"
	"strings"
)

// Config is what the agent has to know about itself. It travels as arguments of the first stage.
type Config struct {
	ID             uint32
	ParentIDs      []uint32 // nearest first
	Unidirectional bool
	MaxMessage     int    // bytes; 0 is the agent's default
	RemoteName     string // label among the agent's arguments, for ps
	NoCache        bool   // unlink the image before the first frame
	Debug          bool
	Offer          bool // offer a socket in the ready line, and wait for the parent's choice (Offer)

	// Verify hashes and tries a cached image before it is used. It is for the second attempt, after an
	// agent from the cache did not come up. It does not reach the agent.
	Verify bool
}

// maxParents bounds the depth of the tree as far as an agent's arguments go.
const maxParents = 256

// ErrProbe is what ParseAgentArgs returns where the first stage only asks whether the image can be
// executed where it lies. The program then exits with status 0 at once.
var ErrProbe = errors.New("bootstrap: probe")

// agentArgs are the four words behind "agent". They consist of letters, digits and ._:,/=- only.
func (c *Config) agentArgs() []string {
	parents := make([]string, len(c.ParentIDs))
	for i, id := range c.ParentIDs {
		parents[i] = formatID(id)
	}
	return []string{formatID(c.ID), orDash(parents), orDash(c.flags()), "n:" + escape(c.RemoteName)}
}

func (c *Config) flags() []string {
	var flags []string
	if c.Unidirectional {
		flags = append(flags, "u")
	}
	if c.NoCache {
		flags = append(flags, "n")
	}
	if c.Debug {
		flags = append(flags, "d")
	}
	if c.Offer {
		flags = append(flags, "o")
	}
	if c.MaxMessage > 0 {
		flags = append(flags, "m="+strconv.Itoa(c.MaxMessage))
	}
	return flags
}

// ParseAgentArgs reads the arguments that follow "agent" on the agent's command line. The error is
// ErrProbe, or says which argument is wrong.
func ParseAgentArgs(args []string) (Config, error) {
	var c Config
	if len(args) == 1 && args[0] == "probe" {
		return c, ErrProbe
	}
	if len(args) != 4 {
		return c, errors.New("agent: want ID PARENTS FLAGS NAME, have " + strconv.Itoa(len(args)) + " arguments")
	}
	var err error
	if c.ID, err = parseID(args[0]); err != nil {
		return c, err
	}
	parents := splitDash(args[1])
	if len(parents) > maxParents {
		return c, errors.New("agent: more than " + strconv.Itoa(maxParents) + " parents")
	}
	for _, p := range parents {
		id, err := parseID(p)
		if err != nil {
			return c, err
		}
		c.ParentIDs = append(c.ParentIDs, id)
	}
	for _, flag := range splitDash(args[2]) {
		if err := c.setFlag(flag); err != nil {
			return c, err
		}
	}
	name, ok := strings.CutPrefix(args[3], "n:")
	if ok {
		c.RemoteName, ok = unescape(name)
	}
	if !ok {
		return c, errors.New("agent: name " + strconv.Quote(args[3]))
	}
	return c, nil
}

func (c *Config) setFlag(flag string) error {
	switch key, value, has := strings.Cut(flag, "="); {
	case key == "u" && !has:
		c.Unidirectional = true
	case key == "n" && !has:
		c.NoCache = true
	case key == "d" && !has:
		c.Debug = true
	case key == "o" && !has:
		c.Offer = true
	case key == "m" && has:
		n, err := strconv.Atoi(value)
		if err != nil || n <= 0 || strconv.Itoa(n) != value {
			return errors.New("agent: message size " + strconv.Quote(value))
		}
		c.MaxMessage = n
	default:
		return errors.New("agent: unknown flag " + strconv.Quote(flag))
	}
	return nil
}

func formatID(id uint32) string { return strconv.FormatUint(uint64(id), 10) }

func parseID(s string) (uint32, error) {
	id, err := strconv.ParseUint(s, 10, 32)
	if err != nil || formatID(uint32(id)) != s {
		return 0, errors.New("agent: context id " + strconv.Quote(s))
	}
	return uint32(id), nil
}

// orDash joins words with commas; "-" stands for none, as an empty word is lost in a shell.
func orDash(words []string) string {
	if len(words) == 0 {
		return "-"
	}
	return strings.Join(words, ",")
}

func splitDash(s string) []string {
	if s == "-" {
		return nil
	}
	return strings.Split(s, ",")
}

const plainBytes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:,/-"

const hexDigits = "0123456789ABCDEF"

// escape writes every byte that a shell could see something in as =XX.
func escape(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if strings.IndexByte(plainBytes, c) >= 0 {
			b.WriteByte(c)
		} else {
			b.WriteByte('=')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
	}
	return b.String()
}

// unescape undoes escape, and takes nothing that escape would have written otherwise.
func unescape(s string) (string, bool) {
	parts := strings.Split(s, "=")
	out := []byte(parts[0])
	for _, part := range parts[1:] {
		if len(part) < 2 {
			return "", false
		}
		hi, lo := strings.IndexByte(hexDigits, part[0]), strings.IndexByte(hexDigits, part[1])
		if hi < 0 || lo < 0 {
			return "", false
		}
		out = slices.Concat(out, []byte{byte(hi<<4 | lo)}, []byte(part[2:]))
	}
	return string(out), escape(string(out)) == s
}
