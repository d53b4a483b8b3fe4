package methods

import (
	"os"
	"syscall"
)

// owned says whether a file is our own account's.
func owned(info os.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Getuid()
}
