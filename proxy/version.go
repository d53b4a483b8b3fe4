package proxy

import (
	"fmt"
	"strings"
)

// versionPrefix is how the server's version line begins (RFC 4253 section 4.2).
//
// It says OpenSSH because clients ask the version line what a server can do, and this one does what OpenSSH's does: only to a
// server of that name does OpenSSH's client say that nobody reads the output any more (eow@openssh.com, without which
// `ssh web1 yes | head -1` would run for ever), and asyncssh and WinSCP write the arguments of SFTP's SYMLINK in the order that
// OpenSSH's server reads them. No number follows, since the lists of bugs that clients keep name numbers: that of paramiko,
// "-OpenSSH_(?:[1-6]|7\.[0-7])", even takes 10.0 for 1.
const versionPrefix = "SSH-2.0-OpenSSH_fakesshd_"

// maxVersion bounds the line, bytes; RFC 4253 says 255 with its end.
const maxVersion = 200

// versionLine is what the server calls itself. A minus has a meaning of its own in the line.
func versionLine(version string) (string, error) {
	line := versionPrefix + strings.ReplaceAll(version, "-", "_")
	if !printable(line) || len(line) > maxVersion {
		return "", fmt.Errorf("proxy: version %q", version)
	}
	return line, nil
}
