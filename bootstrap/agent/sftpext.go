package agent

import (
	"errors"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// extension is one of OpenSSH's extensions to version 3 (its file PROTOCOL, section 4).
type extension struct {
	name, version string
	do            func(f *sftpFront, id uint32, r *fxReader) []byte
}

// extensions are told in the VERSION packet, in this order.
var extensions = []extension{
	{"posix-rename@openssh.com", "1", (*sftpFront).posixRename},
	{"statvfs@openssh.com", "2", (*sftpFront).statvfs},
	{"fstatvfs@openssh.com", "2", (*sftpFront).fstatvfs},
	{"hardlink@openssh.com", "1", (*sftpFront).hardlink},
	{"fsync@openssh.com", "1", (*sftpFront).fsync},
	{"lsetstat@openssh.com", "1", (*sftpFront).lsetstat},
	{"limits@openssh.com", "1", (*sftpFront).limits},
	{"expand-path@openssh.com", "1", (*sftpFront).expandPath},
	{"copy-data", "1", (*sftpFront).copyData},
	{"home-directory", "1", (*sftpFront).homeDirectory},
	{"users-groups-by-id@openssh.com", "1", (*sftpFront).usersGroupsByID},
}

func versionPacket() []byte {
	w := newPacket(fxpVersion)
	w.uint32(3)
	for _, e := range extensions {
		w.string(e.name)
		w.string(e.version)
	}
	return w.finish()
}

// extended answers an EXTENDED request; none of them reaches the server.
func (f *sftpFront) extended(id uint32, r *fxReader) []byte {
	name := r.string()
	i := slices.IndexFunc(extensions, func(e extension) bool { return e.name == name })
	if i < 0 {
		return statusPacket(id, fxUnsupported, "unsupported extension")
	}
	return extensions[i].do(f, id, r)
}

func (f *sftpFront) posixRename(id uint32, r *fxReader) []byte {
	from, to := f.abs(r.string()), f.abs(r.string())
	return f.unlessBad(id, r, func() error { return unix.Rename(from, to) })
}

func (f *sftpFront) hardlink(id uint32, r *fxReader) []byte {
	from, to := f.abs(r.string()), f.abs(r.string())
	return f.unlessBad(id, r, func() error { return unix.Link(from, to) })
}

func (f *sftpFront) statvfs(id uint32, r *fxReader) []byte {
	name := f.abs(r.string())
	if r.bad {
		return nil
	}
	return statvfsPacket(id, name)
}

func (f *sftpFront) fstatvfs(id uint32, r *fxReader) []byte {
	file, err := f.file(r.string())
	switch {
	case r.bad:
		return nil
	case err != nil:
		return statusOf(id, err)
	}
	return statvfsPacket(id, file.path)
}

func statvfsPacket(id uint32, name string) []byte {
	values, err := statvfs(name)
	if err != nil {
		return statusOf(id, err)
	}
	w := newPacket(fxpExtendedReply)
	w.uint32(id)
	for _, v := range values {
		w.uint64(v)
	}
	return w.finish()
}

// limits tells the largest packet, READ and WRITE, and the number of open files.
func (f *sftpFront) limits(id uint32, _ *fxReader) []byte {
	w := newPacket(fxpExtendedReply)
	w.uint32(id)
	for _, n := range [...]uint64{maxSFTPPacket, sftpPayload, sftpPayload, maxFiles} {
		w.uint64(n)
	}
	return w.finish()
}

// expandPath resolves ~ and ~user, which scp leaves to the server.
func (f *sftpFront) expandPath(id uint32, r *fxReader) []byte {
	name := r.string()
	if r.bad {
		return nil
	}
	if tilde, ok := strings.CutPrefix(name, "~"); ok {
		user, rest, _ := strings.Cut(tilde, "/")
		a, found := f.account(user)
		if !found {
			return statusPacket(id, fxNoSuchFile, "no account "+user)
		}
		name = path.Join(a.Home, rest)
	}
	full, err := resolve(f.abs(name))
	if err != nil {
		return statusOf(id, err)
	}
	return namePacket(id, full)
}

func (f *sftpFront) homeDirectory(id uint32, r *fxReader) []byte {
	user := r.string()
	if r.bad {
		return nil
	}
	a, ok := f.account(user)
	if !ok {
		return statusPacket(id, fxNoSuchFile, "no account "+user)
	}
	return namePacket(id, a.Home)
}

// lsetstat is SETSTAT that does not follow a symbolic link.
func (f *sftpFront) lsetstat(id uint32, r *fxReader) []byte {
	name, a := f.abs(r.string()), r.attrs()
	return f.unlessBad(id, r, func() error { return setLinkAttrs(name, a) })
}

func setLinkAttrs(name string, a attrs) error {
	var errs []error
	if a.flags&attrSize != 0 {
		errs = append(errs, syscall.EINVAL) // a link has no size to be set
	}
	if a.flags&attrPermissions != 0 {
		errs = append(errs, unix.Fchmodat(unix.AT_FDCWD, name, a.mode&0o7777, unix.AT_SYMLINK_NOFOLLOW))
	}
	if a.flags&attrTimes != 0 {
		times := []unix.Timespec{unix.NsecToTimespec(int64(a.atime) * 1e9), unix.NsecToTimespec(int64(a.mtime) * 1e9)}
		errs = append(errs, unix.UtimesNanoAt(unix.AT_FDCWD, name, times, unix.AT_SYMLINK_NOFOLLOW))
	}
	if a.flags&attrUIDGID != 0 {
		errs = append(errs, os.Lchown(name, int(a.uid), int(a.gid)))
	}
	return errors.Join(errs...)
}

var errRenamed = errors.New("the open file has another name now")

// file finds the open file behind a handle of the server's, if it still has the name that it was opened by.
func (f *sftpFront) file(handle string) (openFile, error) {
	f.mu.Lock()
	file, ok := f.files[handle]
	f.mu.Unlock()
	if !ok {
		return openFile{}, syscall.EBADF
	}
	info, err := os.Stat(file.path)
	if err != nil || !os.SameFile(info, file.info) {
		return openFile{}, errRenamed
	}
	return file, nil
}

// fsync flushes the file, by whichever descriptor: the kernel knows the file, not who wrote it.
func (f *sftpFront) fsync(id uint32, r *fxReader) []byte {
	handle := r.string()
	return f.unlessBad(id, r, func() error {
		file, err := f.file(handle)
		if err != nil {
			return err
		}
		h, err := os.Open(file.path)
		if errors.Is(err, os.ErrPermission) {
			h, err = os.OpenFile(file.path, os.O_WRONLY, 0)
		}
		if err != nil {
			return err
		}
		defer h.Close()
		return h.Sync()
	})
}

// copyData copies between two open files: from handle, offset, length (0 = to the end), to handle, offset.
func (f *sftpFront) copyData(id uint32, r *fxReader) []byte {
	from, fromOff, length := r.string(), r.uint64(), r.uint64()
	to, toOff := r.string(), r.uint64()
	return f.unlessBad(id, r, func() error {
		const top = 1 << 62
		if fromOff > top || length > top || toOff > top {
			return syscall.EINVAL
		}
		src, err := f.file(from)
		if err != nil {
			return err
		}
		dst, err := f.file(to)
		if err != nil {
			return err
		}
		if os.SameFile(src.info, dst.info) && (length == 0 || fromOff < toOff+length && toOff < fromOff+length) {
			return syscall.EINVAL // onto itself; or to its end, which would never come
		}
		return f.copyRange(src.path, dst.path, int64(fromOff), int64(length), int64(toOff))
	})
}

func (f *sftpFront) copyRange(from, to string, fromOff, length, toOff int64) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer dst.Close()
	if _, err := src.Seek(fromOff, io.SeekStart); err != nil {
		return err
	}
	if _, err := dst.Seek(toOff, io.SeekStart); err != nil {
		return err
	}
	return f.copyPieces(dst, src, length)
}

// copyPieces copies piece by piece, so that a lost session ends the copying.
func (f *sftpFront) copyPieces(dst, src *os.File, length int64) error {
	const piece = 16 << 20
	for toEnd := length == 0; toEnd || length > 0; {
		want := int64(piece)
		if !toEnd {
			want = min(want, length)
		}
		n, err := io.CopyN(dst, src, want)
		length -= n
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		select {
		case <-f.stream.Done():
			return f.stream.Err()
		default:
		}
	}
	return nil
}
