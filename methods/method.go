// Package methods starts child contexts: one file per connection method, each data and a pure argv function.
package methods

import (
	"context"
	"io"
	"time"

	"fakessh/bootstrap"
)

// Secret is a text that prints as [secret].
type Secret string

func (Secret) String() string   { return "[secret]" }
func (Secret) GoString() string { return "[secret]" }

// Params are a method's parameters by Mitogen's names. Values are string, bool, int64, float64, []string or Secret.
type Params map[string]any

// Spec says how to start one context. It can travel to an agent.
type Spec struct {
	Method string
	Params Params
}

// Request is one connection to be made.
type Request struct {
	Spec   Spec
	Agent  bootstrap.Config
	Images *bootstrap.Images
	// Log takes the diagnostics the tool prints after the context is up. nil discards.
	Log func(line string)
}

// Conn is the link to a started agent: the bytes, and the tool behind them.
type Conn struct {
	io.ReadWriteCloser
	Ready *bootstrap.Ready
	Name  string // "ssh.web1", "sudo.root": Mitogen's naming
}

// Exited says how the tool ended, "exit status 1", "signal: killed"; it waits until it has, or ctx is done.
func (c *Conn) Exited(ctx context.Context) string { panic("unwritten") }

// Dial starts the tool, answers its prompts, boots the agent. Closing the Conn ends the tool: EOF, SIGTERM, SIGKILL; Close returns when it is reaped.
// Errors: *Error, wrapping *PasswordError, *HostKeyError, *EOFError, *TimeoutError, *bootstrap.NeedImageError.
func Dial(ctx context.Context, req Request) (*Conn, error) { panic("unwritten") }

// Method is one way to start a context.
type Method struct {
	Name   string
	Help   string
	Params []Param
	// Short names the parameter that a hop's argument in a target name sets: web1+docker.ARG.
	Short string
	// …: the owner's further fields: argv function, stdio kind, prompts, hint.
}

// Param describes one parameter.
type Param struct {
	Name     string
	Kind     string // "string", "bool", "int", "seconds", "list", "secret"
	Default  any
	Required bool
	Help     string
}

// All lists every method in order of name; Lookup finds one.
func All() []*Method                     { panic("unwritten") }
func Lookup(name string) (*Method, bool) { panic("unwritten") }

// Check validates params against the method: unknown names, kinds, required ones, dash-led values.
func (m *Method) Check(p Params) error { panic("unwritten") }

// ContextName is Mitogen's name for such a context: "docker.app".
func (m *Method) ContextName(p Params) string { panic("unwritten") }

// DefaultTimeout is connect_timeout's default.
const DefaultTimeout = 30 * time.Second
