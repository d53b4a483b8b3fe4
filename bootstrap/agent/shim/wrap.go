package shim

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"fakessh/bootstrap/agent/session"
)

// wrap replaces this process by the real scp or sftp, which has the path of ssh compiled in and is told another with -S. It
// returns only on an error.
func wrap(name string, args []string) error {
	ssh := os.Getenv(session.EnvSSH)
	if ssh == "" {
		return errors.New(session.EnvSSH + " is not set: this " + name + " works inside a run only")
	}
	real, err := findReal(name, filepath.Dir(ssh), filepath.SplitList(os.Getenv("PATH")))
	if err != nil {
		return err
	}
	argv := append([]string{name, "-S", ssh}, args...)
	return errors.New("execute " + real + ": " + syscall.Exec(real, argv, os.Environ()).Error())
}

// findReal finds the first executable of that name on the path which is not the one in own.
func findReal(name, own string, path []string) (string, error) {
	here, _ := os.Stat(filepath.Join(own, name))
	for _, dir := range path {
		if dir == "" {
			dir = "."
		}
		file := filepath.Join(dir, name)
		st, err := os.Stat(file)
		if err != nil || !st.Mode().IsRegular() || st.Mode()&0o111 == 0 || here != nil && os.SameFile(st, here) {
			continue
		}
		return file, nil
	}
	return "", errors.New("there is no other " + name + " on PATH")
}
