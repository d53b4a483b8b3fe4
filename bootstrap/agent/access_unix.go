//go:build unix

package agent

import "golang.org/x/sys/unix"

// access asks whether the effective account may enter dir.
func access(dir string) error {
	return unix.Faccessat(unix.AT_FDCWD, dir, unix.X_OK, unix.AT_EACCESS)
}
