package agent

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// nameOps are the requests about names that are answered here, as OpenSSH's sftp-server answers them.
var nameOps = map[byte]func(f *sftpFront, id uint32, r *fxReader) []byte{
	fxpOpendir:  (*sftpFront).opendir,
	fxpReaddir:  (*sftpFront).readdir,
	fxpRemove:   (*sftpFront).remove,
	fxpRmdir:    (*sftpFront).rmdir,
	fxpMkdir:    (*sftpFront).mkdir,
	fxpRename:   (*sftpFront).rename,
	fxpSymlink:  (*sftpFront).symlink,
	fxpRealpath: (*sftpFront).realpath,
}

// statusPacket is a STATUS answer; text is for the user.
func statusPacket(id, code uint32, text string) []byte {
	w := newPacket(fxpStatus)
	w.uint32(id)
	w.uint32(code)
	w.string(text)
	w.string("")
	return w.finish()
}

func statusOf(id uint32, err error) []byte {
	if err == nil {
		return statusPacket(id, fxOK, "Success")
	}
	return statusPacket(id, statusCode(err), reason(err))
}

// statusCode maps errors as sftp-server does.
func statusCode(err error) uint32 {
	var errno syscall.Errno
	if errors.Is(err, io.EOF) {
		return fxEOF
	}
	if !errors.As(err, &errno) {
		return fxFailure
	}
	switch errno {
	case syscall.ENOENT, syscall.ENOTDIR, syscall.EBADF, syscall.ELOOP:
		return fxNoSuchFile
	case syscall.EPERM, syscall.EACCES, syscall.EFAULT:
		return fxPermissionDenied
	case syscall.ENAMETOOLONG, syscall.EINVAL:
		return fxBadMessage
	case syscall.ENOSYS:
		return fxUnsupported
	}
	return fxFailure
}

// namePacket is a NAME answer with one name and no attributes.
func namePacket(id uint32, name string) []byte {
	w := newPacket(fxpName)
	w.uint32(id)
	w.uint32(1)
	w.string(name)
	w.string(name)
	w.uint32(0)
	return w.finish()
}

func (f *sftpFront) remove(id uint32, r *fxReader) []byte {
	name := f.abs(r.string())
	return f.unlessBad(id, r, func() error { return unix.Unlink(name) })
}

func (f *sftpFront) rmdir(id uint32, r *fxReader) []byte {
	name := f.abs(r.string())
	return f.unlessBad(id, r, func() error { return unix.Rmdir(name) })
}

func (f *sftpFront) mkdir(id uint32, r *fxReader) []byte {
	name, a := f.abs(r.string()), r.attrs()
	mode := uint32(0o777)
	if a.flags&attrPermissions != 0 {
		mode = a.mode & 0o7777
	}
	return f.unlessBad(id, r, func() error { return unix.Mkdir(name, mode) })
}

// symlink has the arguments in OpenSSH's order, which is not the draft's: target, then link.
func (f *sftpFront) symlink(id uint32, r *fxReader) []byte {
	target, link := r.string(), f.abs(r.string())
	return f.unlessBad(id, r, func() error { return os.Symlink(target, link) })
}

func (f *sftpFront) rename(id uint32, r *fxReader) []byte {
	from, to := f.abs(r.string()), f.abs(r.string())
	return f.unlessBad(id, r, func() error { return renameNew(from, to) })
}

func (f *sftpFront) realpath(id uint32, r *fxReader) []byte {
	name := f.abs(r.string())
	if r.bad {
		return nil
	}
	full, err := resolve(name)
	if err != nil {
		return statusOf(id, err)
	}
	return namePacket(id, full)
}

// unlessBad does op, unless a field of the request was missing; dispatch then ends the session.
func (f *sftpFront) unlessBad(id uint32, r *fxReader, op func() error) []byte {
	if r.bad {
		return nil
	}
	return statusOf(id, op())
}

// renameNew renames without ever replacing, as version 3 wants it: a file by a second link, so that
// it cannot race; what cannot be linked by looking first.
func renameNew(from, to string) error {
	st, err := os.Lstat(from)
	if err != nil {
		return err
	}
	if st.Mode().IsRegular() {
		err = unix.Link(from, to)
		if err == nil {
			return unix.Unlink(from)
		}
		if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM) &&
			!errors.Is(err, unix.EXDEV) && !errors.Is(err, unix.EMLINK) {
			return err
		}
	}
	if _, err := os.Lstat(to); err == nil {
		return errors.New("file exists")
	}
	return os.Rename(from, to)
}

// resolve is realpath(3), except that the last component need not exist.
func resolve(name string) (string, error) {
	full, err := filepath.EvalSymlinks(name)
	if err == nil {
		return full, nil
	}
	name = strings.TrimRight(name, "/")
	if _, lerr := os.Lstat(name); lerr == nil || !errors.Is(err, os.ErrNotExist) || filepath.Base(name) == ".." {
		return "", err
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(name))
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, filepath.Base(name)), nil
}
