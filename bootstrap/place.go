package bootstrap

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// places lists the directories that may hold images, in order: the first stage's list in Go.
func places() []string {
	var list []string
	if dir := os.Getenv("XDG_CACHE_HOME"); filepath.IsAbs(dir) {
		list = append(list, filepath.Join(dir, "fakessh"))
	}
	if home := os.Getenv("HOME"); filepath.IsAbs(home) {
		list = append(list, filepath.Join(home, ".cache", "fakessh"))
	}
	for _, dir := range []string{"/var/tmp", "/dev/shm", "/tmp"} {
		list = append(list, filepath.Join(dir, ".fakessh-"+strconv.Itoa(os.Geteuid())))
	}
	return list
}

// enter makes dir if need be and opens it, if it can be trusted: ours alone, no symbolic link, and where
// nobody else can put another in its place.
func enter(dir string) (*os.Root, error) {
	if err := makePlace(dir); err != nil {
		return nil, err
	}
	for _, d := range []string{filepath.Dir(dir), dir} {
		if info, err := os.Lstat(d); err != nil {
			return nil, err
		} else if info.Mode()&os.ModeSymlink != 0 {
			return nil, errors.New(d + ": symbolic link")
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	info, err := root.Stat(".")
	if err == nil && (owner(info) != os.Geteuid() || info.Mode().Perm() != 0o700) {
		err = errors.New(dir + ": not ours alone")
	}
	if err == nil {
		err = checkAncestors(dir)
	}
	if err != nil {
		root.Close()
		return nil, err
	}
	return root, nil
}

// makePlace makes dir, and above a "fakessh" the cache directory too. In a home that is somebody else's, as
// under sudo with a kept environment, it makes nothing.
func makePlace(dir string) error {
	if filepath.Base(dir) == "fakessh" {
		up := filepath.Dir(dir)
		if _, err := os.Stat(up); err != nil && ours(filepath.Dir(up)) {
			if err := os.Mkdir(up, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
				return err
			}
		}
		if !ours(up) {
			return errors.New(up + ": not ours")
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}

func ours(path string) bool {
	info, err := os.Stat(path)
	return err == nil && owner(info) == os.Geteuid()
}

// checkAncestors makes sure that only root, we, and the owner of the whole file system can rename what lies
// on the way to dir. (The first stage need not: it never leaves the directory that it has looked at.)
func checkAncestors(dir string) error {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	for dir != "/" && dir != "." {
		dir = filepath.Dir(dir)
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		open := info.Mode().Perm()&0o022 != 0 && info.Mode()&os.ModeSticky == 0
		if uid := owner(info); open || uid != 0 && uid != os.Geteuid() && uid != ownerOfAll() {
			return errors.New(dir + ": others can change it")
		}
	}
	return nil
}

func ownerOfAll() int {
	info, err := os.Stat("/")
	if err != nil {
		return 0
	}
	return owner(info)
}

// owner is the uid of a file, -1 where the system has none.
func owner(info os.FileInfo) int {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid)
	}
	return -1
}
