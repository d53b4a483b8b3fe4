package agent

import (
	"errors"
	"os"
	"strings"
	"syscall"
)

// reason is err as perror(3) would print it: the system's text for the innermost errno with a
// capital letter, which is what users of sshd know: "Connection refused".
func reason(err error) string {
	var errno syscall.Errno
	text := err.Error()
	switch {
	case errors.As(err, &errno):
		text = errno.Error()
	case errors.Is(err, os.ErrDeadlineExceeded):
		text = syscall.ETIMEDOUT.Error()
	case errors.Is(err, os.ErrPermission):
		text = syscall.EACCES.Error()
	case errors.Is(err, os.ErrNotExist):
		text = syscall.ENOENT.Error()
	}
	text, _, _ = strings.Cut(text, "\n")
	if text == "" {
		return "unknown error"
	}
	return strings.ToUpper(text[:1]) + text[1:]
}
