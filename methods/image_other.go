//go:build !linux

package methods

import "os"

// openImage opens an executable that another account is to start; the account has to be able to reach it by its name.
func openImage(path string) (*os.File, error) { return os.Open(path) }

func openPath(f *os.File) string { return f.Name() }
