package methods

import (
	"context"
	"errors"
	"time"

	"fakessh/bootstrap"
)

// DefaultTimeout is connect_timeout's default.
const DefaultTimeout = 30 * time.Second

// Spec says how to start one context. It can travel to an agent (Params.Wire), once its secrets are resolved.
type Spec struct {
	Method string
	Params Params
}

// Request is one connection to be made.
type Request struct {
	Spec   Spec
	Agent  bootstrap.Config
	Images *bootstrap.Images
	// Log takes the diagnostics the tool prints after the context is up, line by line, on a goroutine
	// of the Conn: while it blocks, the tool may. What the far side writes to its stderr is among them, so a log takes
	// LogBurst lines at once and LogPerSecond after that. nil discards.
	Log func(line string)
}

// How much of a tool's diagnostics is worth logging, in lines.
const (
	LogBurst     = 100
	LogPerSecond = 2
)

// Method is one way to start a context: data and a pure function.
type Method struct {
	Name string
	Help string
	// Params are the method's own parameters; CommonParams come on top.
	Params []Param
	// Short names the parameter that a hop's argument in a target name sets: web1+docker.ARG. "" means the method takes none.
	Short string
	// Hint is advice for a person whom the tool's own words leave in the dark. It is no part of error texts.
	Hint string

	// merge lets parameters that were given say others, before the defaults are put in; nil: none does.
	merge func(m *Method, v values) error
	// argv is the command that runs boot, from checked values alone: no environment, no files, no running.
	argv func(v values, boot []string) ([]string, error)
	// name is the context's name less "method."; nil means the value of Short.
	name func(v values) string
	// stdio is how the standard streams are laid; stdioFor, if set, decides by the values.
	stdio    stdio
	stdioFor func(v values) stdio
	// rules are the method's prompts and the lines that mean something.
	rules []rule
	// diagnose picks the telling line of what the tool printed and types the error; nil means eofError.
	diagnose func(lines []string, status string) error
	// prepare looks at the machine before argv is made: it may fill values in, and say of the command
	// what arguments cannot.
	prepare func(ctx context.Context, v values, images *bootstrap.Images, c *command) error
	// local says that the link is as fast as a pipe: the image goes uncompressed.
	local bool
	// relayed says that the tool, or a service behind it, copies the agent's stdin and stdout, and that the agent runs on the tool's
	// kernel as a rule: it is asked for a socket of its own.
	relayed bool
	// boots says how the boot command reaches the far side.
	boots boots
}

// boots is how the boot command reaches the far side.
type boots int

const (
	byArgv  boots = iota // as arguments of the tool
	byStdin              // typed into the shell that the tool gives
	direct               // there is no shell: the tool is the image itself
)

// stdio is how the standard streams of a tool are laid (the table in spec 8.1).
type stdio int

const (
	// separate: a socketpair on stdin and stdout, a pipe on stderr, no controlling terminal.
	separate stdio = iota
	// hybrid: a socketpair on stdin and stdout, a pty on stderr that is also the controlling terminal.
	hybrid
	// terminal: one pty for everything, for tools that want no less.
	terminal
)

// Check validates params against the method: unknown names, kinds, required ones, dash-led names,
// and whatever makes no argument list.
func (m *Method) Check(p Params) error {
	v, err := m.values(p)
	if err != nil {
		return err
	}
	_, err = m.argv(v, []string{"sh"})
	return err
}

// Argv is the argument list that would run boot, for tests and for showing. Secrets are never part of it.
func (m *Method) Argv(p Params, boot []string) ([]string, error) {
	v, err := m.values(p)
	if err != nil {
		return nil, err
	}
	return m.argv(v, boot)
}

// ContextName is Mitogen's name for such a context: "docker.app". Parameters that fail Check give the method's name alone.
func (m *Method) ContextName(p Params) string {
	v, err := m.values(p)
	if err != nil {
		return m.Name
	}
	return m.contextName(v)
}

func (m *Method) contextName(v values) string {
	var name string
	if m.name != nil {
		name = m.name(v)
	} else if m.Short != "" {
		name = v.text(m.Short)
	}
	if name == "" {
		return m.Name
	}
	return m.Name + "." + name
}

func (m *Method) layout(v values) stdio {
	if m.stdioFor != nil {
		return m.stdioFor(v)
	}
	return m.stdio
}

// lookup finds spec's method.
func lookup(spec Spec) (*Method, error) {
	m, ok := Lookup(spec.Method)
	if !ok {
		return nil, errors.New("unknown method " + quoted(spec.Method))
	}
	return m, nil
}
