package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"fakessh/bootstrap/agent/session"
	"fakessh/methods"
)

// What people read is said here: results go to stdout; everything else to stderr, in lines that begin with the
// program's name, lower case, without a full stop; advice follows on lines of its own that begin with "hint:".

// complain writes an error, a line for each of several, and a hint if there is one.
func complain(w io.Writer, err error, hint string) {
	for line := range strings.Lines(err.Error()) {
		if line = session.OneLine(line); line != "" {
			fmt.Fprintf(w, "fakesshd: %s\n", line)
		}
	}
	if hint != "" {
		fmt.Fprintf(w, "hint: %s\n", hint)
	}
}

// hint advises on errors that have a usual remedy.
func hint(err error) string {
	var key *methods.HostKeyError
	var password *methods.PasswordError
	switch {
	case errors.As(err, &key):
		return "look at the host's key yourself, then put it into the known hosts file"
	case errors.As(err, &password):
		return "password_file, password_command or password_env of the target say where the password is"
	}
	return ""
}
