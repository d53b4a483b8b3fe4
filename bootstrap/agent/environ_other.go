//go:build !linux

package agent

const (
	mailDir  = "/var/mail/"
	userPath = "/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin:/usr/local/sbin"
)

var envFiles []string

func defaultPath(int) string { return userPath }
