//go:build !linux

package methods

import (
	"os"

	"fakessh/bootstrap"
)

// ownImage opens the own platform's executable, which another account is to start: it has to be able to reach it by its name.
func ownImage(images *bootstrap.Images) (*os.File, error) {
	path, err := images.Path(bootstrap.Own())
	if err != nil {
		return nil, err
	}
	return os.Open(path)
}

func openPath(f *os.File) string { return f.Name() }
