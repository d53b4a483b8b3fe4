package agent

import (
	"errors"
	"os"
	"path"
	"strings"
)

var errNotFound = errors.New("command not found")

// lookPath finds name as execvp(3) would, with dir as the working directory for relative names.
func lookPath(name, searchPath, dir string) (string, error) {
	if strings.IndexByte(name, '/') >= 0 {
		return name, executable(inDir(dir, name))
	}
	denied := error(nil)
	for _, d := range strings.Split(searchPath, ":") {
		if d == "" {
			d = "."
		}
		full := path.Join(d, name)
		err := executable(inDir(dir, full))
		if err == nil {
			return full, nil
		}
		if os.IsPermission(err) {
			denied = err
		}
	}
	if denied != nil {
		return "", denied
	}
	return "", errNotFound
}

func inDir(dir, name string) string {
	if path.IsAbs(name) {
		return name
	}
	return path.Join(dir, name)
}

func executable(name string) error {
	st, err := os.Stat(name)
	switch {
	case err != nil:
		return errNotFound
	case st.IsDir() || st.Mode()&0o111 == 0:
		return os.ErrPermission
	}
	return nil
}
