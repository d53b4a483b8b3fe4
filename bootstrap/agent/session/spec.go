package session

import (
	"errors"
	"strconv"
	"strings"

	"fakessh/router/pickle"
)

// Encode returns the wire form of s.
func (s *Spec) Encode() *pickle.Dict {
	d := pickle.NewDict("kind", string(s.Kind), "command", s.Command)
	if len(s.Args) > 0 {
		d.Set("args", texts(s.Args))
	}
	if s.Dir != "" {
		d.Set("dir", s.Dir)
	}
	if len(s.Env) > 0 {
		env := pickle.NewDict()
		for name, value := range s.Env {
			env.Set(name, value)
		}
		d.Set("env", env)
	}
	if s.PTY != nil {
		d.Set("pty", s.PTY.encode())
	}
	if s.ClientAddr != "" {
		d.Set("client", s.ClientAddr)
	}
	if s.ServerAddr != "" {
		d.Set("server", s.ServerAddr)
	}
	if s.ReadOnly {
		d.Set("read_only", true)
	}
	if s.Shim {
		d.Set("shim", true)
	}
	if s.Agent {
		d.Set("agent", true)
	}
	return d
}

func (p *PTY) encode() *pickle.Dict {
	s := p.Size
	return pickle.NewDict(
		"term", p.Term,
		"size", pickle.Tuple{int64(s.Columns), int64(s.Rows), int64(s.Width), int64(s.Height)},
		"modes", p.Modes,
	)
}

// DecodeSpec reads what Encode wrote, from a peer that may send anything, and validates it.
func DecodeSpec(v any) (*Spec, error) {
	f := newFields("session", v)
	s := &Spec{
		Kind:       Kind(f.text("kind", maxName)),
		Command:    f.text("command", maxCommand),
		Args:       f.texts("args", maxArgs, maxCommand),
		Dir:        f.text("dir", maxPath),
		Env:        f.env("env"),
		ClientAddr: f.text("client", maxAddr),
		ServerAddr: f.text("server", maxAddr),
		ReadOnly:   f.bool("read_only"),
		Shim:       f.bool("shim"),
		Agent:      f.bool("agent"),
	}
	if v, ok := f.get("pty"); ok {
		s.PTY = f.pty(v)
	}
	if f.err != nil {
		return nil, f.err
	}
	return s, s.Validate()
}

func (f *fields) env(key string) map[string]string {
	v, ok := f.get(key)
	if !ok {
		return nil
	}
	d, isDict := v.(*pickle.Dict)
	if !isDict {
		f.fail(key, "is not a dict")
		return nil
	}
	if d.Len() > maxEnv {
		f.fail(key, "has more than "+strconv.Itoa(maxEnv)+" entries")
		return nil
	}
	env := make(map[string]string, d.Len())
	for name, value := range d.All() {
		env[f.asText(key, name, maxName)] = f.asText(key, value, maxValue)
	}
	if len(env) == 0 {
		return nil
	}
	return env
}

func (f *fields) pty(v any) *PTY {
	p := newFields("session: pty", v)
	pty := &PTY{Term: p.text("term", maxName), Modes: p.bytes("modes", maxModes)}
	size := p.items("size", 4)
	var n [4]uint32
	for i, v := range size {
		n[i] = uint32(p.asInt("size", v, 0, 1<<32-1))
	}
	if p.err == nil && len(size) != 4 && len(size) != 0 {
		p.fail("size", "is not four integers")
	}
	pty.Size = Size{Columns: n[0], Rows: n[1], Width: n[2], Height: n[3]}
	if f.err == nil {
		f.err = p.err
	}
	return pty
}

// Validate says what is wrong with s: an unknown kind, a field that is missing, is over its limit, or belongs to another kind, so that
// nobody can be shown one thing and run another.
func (s *Spec) Validate() error {
	f := &fields{what: "session"}
	switch {
	case s.Kind != Shell && s.Kind != Exec && s.Kind != Argv && s.Kind != Subsystem:
		return errors.New("session: unknown kind " + strconv.Quote(string(s.Kind)))
	case s.Kind == Argv && (len(s.Args) == 0 || s.Args[0] == ""):
		f.fail("args", "are missing")
	case s.Kind != Argv && len(s.Args) > 0:
		f.fail("args", "belong to the kind argv only")
	case s.Kind == Subsystem && s.Command == "":
		f.fail("command", "is missing")
	case s.Kind == Subsystem && s.Agent:
		f.fail("agent", "does not belong to the kind "+string(s.Kind))
	case (s.Kind == Argv || s.Kind == Shell) && s.Command != "":
		f.fail("command", "does not belong to the kind "+string(s.Kind))
	}
	f.checkText("command", s.Command, maxCommand)
	f.checkText("dir", s.Dir, maxPath)
	f.checkText("client", s.ClientAddr, maxAddr)
	f.checkText("server", s.ServerAddr, maxAddr)
	s.validateLists(f)
	if s.PTY != nil {
		f.checkText("term", s.PTY.Term, maxName)
		if len(s.PTY.Modes) > maxModes {
			f.fail("modes", "are longer than "+strconv.Itoa(maxModes)+" bytes")
		}
	}
	return f.err
}

func (s *Spec) validateLists(f *fields) {
	if len(s.Args) > maxArgs {
		f.fail("args", "has more than "+strconv.Itoa(maxArgs)+" entries")
	}
	total := 0
	for _, a := range s.Args {
		f.checkText("args", a, maxCommand)
		total += len(a)
	}
	if total > maxCommand {
		f.fail("args", "is longer than "+strconv.Itoa(maxCommand)+" bytes")
	}
	if len(s.Env) > maxEnv {
		f.fail("env", "has more than "+strconv.Itoa(maxEnv)+" entries")
	}
	for name, value := range s.Env {
		f.checkText("env", name, maxName)
		f.checkText("env", value, maxValue)
		if name == "" || strings.IndexByte(name, '=') >= 0 {
			f.fail("env", "has a name that cannot be one: "+strconv.Quote(name))
		}
	}
}

// Encode returns the wire form of i.
func (i *Info) Encode() *pickle.Dict {
	return pickle.NewDict(
		"pid", int64(i.PID), "os", i.OS, "arch", i.Arch, "hostname", i.Hostname,
		"uid", int64(i.UID), "gid", int64(i.GID),
		"user", i.User, "home", i.Home, "shell", i.Shell, "version", i.Version,
	)
}

// DecodeInfo reads what Info.Encode wrote.
func DecodeInfo(v any) (Info, error) {
	f := newFields("info", v)
	i := Info{
		PID:      int(f.int("pid", 0, 1<<31-1)),
		OS:       f.text("os", maxName),
		Arch:     f.text("arch", maxName),
		Hostname: f.text("hostname", maxName),
		UID:      int(f.int("uid", 0, 1<<32-1)),
		GID:      int(f.int("gid", 0, 1<<32-1)),
		User:     f.text("user", maxName),
		Home:     f.text("home", maxPath),
		Shell:    f.text("shell", maxPath),
		Version:  f.text("version", maxName),
	}
	if f.err != nil {
		return Info{}, f.err
	}
	return i, nil
}
