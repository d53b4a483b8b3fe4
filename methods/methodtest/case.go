package methodtest

import (
	"errors"
	"reflect"
	"testing"

	"fakessh/methods"
)

// Case is a method under test.
type Case struct {
	Method string
	// Params are a working set; the suite adds the path of its stub.
	Params methods.Params
	// Tool names the parameter that holds the tool's path: "docker_path". A method without such a parameter is given the
	// stub by Stub instead.
	Tool string
	// Stub, if set, puts the stub in place of the tool: by changing a parameter, or the test's PATH.
	Stub func(t *testing.T, params methods.Params, path string)
	// Handover is the end of the stub: shell text that goes on as the tool would, with its arguments in "$@" and Tail defined.
	// "" is Arguments.
	Handover string
	// Direct says that there is no tool at all: the method starts the image itself, which is then the test program (Main).
	Direct bool
	// Prompt describes how the tool asks for a password; nil if it never does.
	Prompt *Prompt
	// Argv is the table of argument lists.
	Argv []Argv

	home string // of the stub, so that an image is sent only once
}

// Prompt is a tool's way of asking. The suite lets the stub ask in it, and answers with the right password, a wrong one, and none.
type Prompt struct {
	Param string // the secret parameter
	Text  string // what the tool prints; it is sent in two pieces
	// Before is printed in front of the first question, Again in front of the second one.
	Before, Again string
	// Missing and Wrong are the error texts.
	Missing, Wrong string
	// Unasked says that the tool has no terminal to ask on unless the parameter is given.
	Unasked bool
}

// Argv is a row of a table of argument lists: what Params come to with the boot command `sh -c 'a b'`, or the error.
type Argv struct {
	Name   string
	Params methods.Params
	Want   []string
	Err    string
}

// Boot is the boot command of Argv tables.
var Boot = []string{"sh", "-c", "echo 'a b'; $x"}

// Ways to go on for Case.Handover.
const (
	// Arguments: the boot command is the rest of the arguments, from the word sh on.
	Arguments = `while [ "$1" != sh ]; do shift; done; exec "$@"`
	// ShellText: the same, but given to a login shell as one text, as sshd does.
	ShellText = `while [ "$1" != sh ]; do shift; done; exec /bin/sh -c "$*"`
	// BareShell: a shell reads commands from stdin.
	BareShell = `exec /bin/sh`
	// Itself: the tool is the shell.
	Itself = `exec /bin/sh "$@"`
)

// Table checks the argument lists of c.
func (c Case) table(t *testing.T) {
	m, ok := methods.Lookup(c.Method)
	if !ok {
		t.Fatalf("no method %q", c.Method)
	}
	for _, row := range c.Argv {
		t.Run(row.Name, func(t *testing.T) {
			got, err := m.Argv(row.Params, Boot)
			if err == nil {
				err = errors.New("")
			}
			if err.Error() != row.Err || row.Err == "" && !reflect.DeepEqual(got, row.Want) {
				t.Errorf("argv of %v:\n got %q, error %q\nwant %q, error %q", row.Params, got, err, row.Want, row.Err)
			}
			if check := m.Check(row.Params); (check == nil) != (row.Err == "") {
				t.Errorf("Check gives %v", check)
			}
		})
	}
}
