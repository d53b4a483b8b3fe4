package authz

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// OpenTrusted opens a file that grants access: keys, policy, configuration. As sshd's StrictModes has it, nobody may be able to change what is
// read but root, the running user and owners (uids): it is a regular file that one of them owns and nobody else may write, and so is every
// directory on the way to it, and every link. A sticky directory, such as /tmp, will do: what others have there is refused by itself. So will
// what the group may write that has its owner's number. The error names what is wrong and its mode; a file that is not there matches fs.ErrNotExist. There is no way round it.
func OpenTrusted(path string, owners ...int) (*os.File, error) {
	f, err := openTrusted(path, owners)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, bare(err))
	}
	return f, nil
}

func openTrusted(path string, owners []int) (*os.File, error) {
	checked, err := trusted(path, owners)
	switch {
	case err != nil:
		return nil, err
	case !checked.Mode().IsRegular():
		return nil, errors.New("not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if st, err := f.Stat(); err != nil || !os.SameFile(st, checked) {
		f.Close()
		return nil, errors.New("changed just now")
	}
	return f, nil
}

// ReadTrusted reads a file that OpenTrusted opens. More than limit bytes are an error.
func ReadTrusted(path string, limit int64, owners ...int) ([]byte, error) {
	f, err := OpenTrusted(path, owners...)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if int64(len(text)) > limit {
		err = fmt.Errorf("larger than %d bytes", limit)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, bare(err))
	}
	return text, nil
}

// CheckTrustedDir refuses a directory in which others than root and the running user could put one file in the place of another, by its own
// mode or by that of a directory on the way to it.
func CheckTrustedDir(dir string) error {
	st, err := trusted(dir, nil)
	if err == nil && !st.IsDir() {
		err = errors.New("not a directory")
	}
	if err != nil {
		return fmt.Errorf("directory %s: %w", dir, bare(err))
	}
	return nil
}

// maxLinks bounds the symbolic links on the way to a file, as the kernel does.
const maxLinks = 40

// trusted goes the way to path as the kernel would, and looks at everything on it.
func trusted(path string, owners []int) (st fs.FileInfo, err error) {
	if !filepath.IsAbs(path) {
		here, err := os.Getwd()
		if err != nil {
			return nil, err
		}
		path = here + "/" + path
	}
	at, links := "/", 0
	rest := strings.Split(path, "/")
	for {
		if st, err = os.Lstat(at); err != nil {
			return nil, err
		}
		if err := ownersOnly(st, owners); err != nil && at == filepath.Clean(path) {
			return nil, err
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
		if st.Mode().Type() == fs.ModeSymlink {
			to, err := os.Readlink(at)
			if links++; err != nil || links > maxLinks {
				return nil, errors.Join(err, errors.New(at+": too many links"))
			}
			rest = append(strings.Split(to, "/"), rest...)
			if at = filepath.Dir(at); filepath.IsAbs(to) {
				at = "/"
			}
			continue
		}
		for len(rest) > 0 && (rest[0] == "" || rest[0] == ".") {
			rest = rest[1:]
		}
		if len(rest) == 0 {
			return st, nil
		}
		at, rest = filepath.Join(at, rest[0]), rest[1:]
	}
}

// ownersOnly refuses what others may write, or own and so allow themselves to.
func ownersOnly(st fs.FileInfo, owners []int) error {
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return errors.New("of nobody knows whom")
	}
	if uid := int(sys.Uid); uid != 0 && uid != os.Geteuid() && !slices.Contains(owners, uid) {
		return fmt.Errorf("belongs to another user (uid %d, mode %04o)", uid, st.Mode().Perm())
	}
	link, sticky := st.Mode().Type() == fs.ModeSymlink, st.IsDir() && st.Mode()&fs.ModeSticky != 0
	others := fs.FileMode(0o022)
	if sys.Gid == sys.Uid { // a user's private group is the user, as for Debian's sshd: umask 002 is usual there
		others = 0o002
	}
	if st.Mode().Perm()&others != 0 && !link && !sticky {
		return fmt.Errorf("writable by others (mode %04o)", st.Mode().Perm())
	}
	return nil
}
