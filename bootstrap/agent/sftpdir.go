package agent

import (
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// directory is an open directory. Listing is done here, because pkg/sftp's server reads the account
// files twice for each name.
type directory struct {
	file  *os.File
	names idNames
	begun bool
}

func (d *directory) close() error { return d.file.Close() }

// Directories per session, and names per answer.
const (
	maxDirs      = 256
	namesPerRead = 100
)

func (f *sftpFront) opendir(id uint32, r *fxReader) []byte {
	name := f.abs(r.string())
	if r.bad {
		return nil
	}
	if len(f.dirs) >= maxDirs {
		return statusOf(id, syscall.EMFILE)
	}
	file, err := os.OpenFile(name, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return statusOf(id, err)
	}
	f.last++
	handle := "d" + strconv.FormatUint(f.last, 10)
	f.dirs[handle] = &directory{file: file, names: make(idNames)}
	w := newPacket(fxpHandle)
	w.uint32(id)
	w.string(handle)
	return w.finish()
}

func (f *sftpFront) readdir(id uint32, r *fxReader) []byte {
	d, ok := f.dirs[r.string()]
	if r.bad {
		return nil
	}
	if !ok {
		return statusPacket(id, fxFailure, "no such directory handle")
	}
	infos, err := d.read()
	if err != nil {
		return statusOf(id, err)
	}
	w := newPacket(fxpName)
	w.uint32(id)
	w.uint32(uint32(len(infos)))
	for _, info := range infos {
		d.appendEntry(&w, info)
	}
	return w.finish()
}

// read returns the next names, "." and ".." first, as OpenSSH's server tells them too; io.EOF when there are no more.
func (d *directory) read() ([]os.FileInfo, error) {
	var infos []os.FileInfo
	if !d.begun {
		d.begun = true
		for _, name := range [...]string{"/.", "/.."} {
			if info, err := os.Lstat(d.file.Name() + name); err == nil {
				infos = append(infos, info)
			}
		}
	}
	for {
		entries, err := d.file.ReadDir(namesPerRead)
		for _, e := range entries {
			if info, err := e.Info(); err == nil { // what has just been removed is left out
				infos = append(infos, info)
			}
		}
		switch {
		case len(infos) > 0: // none would be the end to clients
			return infos, nil
		case err != nil:
			return nil, err
		case len(entries) == 0:
			return nil, io.EOF
		}
	}
}

func (d *directory) appendEntry(w *fxWriter, info os.FileInfo) {
	a := attrsOf(info)
	w.string(info.Name())
	w.string(d.longName(info, a))
	w.attrs(a.attrs)
}

// fileAttrs are the attributes of version 3, and the link count for long names.
type fileAttrs struct {
	attrs
	links uint64
}

func attrsOf(info os.FileInfo) fileAttrs {
	a := fileAttrs{links: 1}
	a.flags = attrSize | attrPermissions | attrTimes
	a.size, a.mtime = uint64(info.Size()), uint32(info.ModTime().Unix())
	a.atime = a.mtime
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		a.flags |= attrUIDGID
		a.uid, a.gid, a.mode, a.links = sys.Uid, sys.Gid, uint32(sys.Mode), uint64(sys.Nlink) //nolint:unconvert // narrower on other systems
		a.atime = accessTime(sys)
	}
	return a
}

// longName is a line of ls -l, in the widths that sftp-server uses.
func (d *directory) longName(info os.FileInfo, a fileAttrs) string {
	var b strings.Builder
	b.WriteString(modeText(a.mode))
	b.WriteByte(' ')
	b.WriteString(padLeft(strconv.FormatUint(a.links, 10), 4))
	b.WriteByte(' ')
	b.WriteString(padRight(orNumber(d.names.user(a.uid), a.uid), 8))
	b.WriteByte(' ')
	b.WriteString(padRight(orNumber(d.names.group(a.gid), a.gid), 8))
	b.WriteByte(' ')
	b.WriteString(padLeft(strconv.FormatUint(a.size, 10), 8))
	b.WriteByte(' ')
	b.WriteString(listTime(info.ModTime(), time.Now()))
	b.WriteByte(' ')
	b.WriteString(info.Name())
	return b.String()
}

func orNumber(name string, id uint32) string {
	if name == "" {
		return strconv.FormatUint(uint64(id), 10)
	}
	return name
}

func padLeft(s string, n int) string  { return strings.Repeat(" ", max(0, n-len(s))) + s }
func padRight(s string, n int) string { return s + strings.Repeat(" ", max(0, n-len(s))) }

// listTime is the time for files of the last half year, the year for others.
func listTime(t, now time.Time) string {
	const halfYear = 365 * 24 * time.Hour / 2
	if age := now.Sub(t); age < halfYear && age > -halfYear {
		return t.Format("Jan _2 15:04")
	}
	return t.Format("Jan _2  2006")
}

// modeText is strmode(3): drwxr-xr-x, with the set-id and sticky bits.
func modeText(mode uint32) string {
	kind := byte('?')
	switch mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		kind = '-'
	case syscall.S_IFDIR:
		kind = 'd'
	case syscall.S_IFLNK:
		kind = 'l'
	case syscall.S_IFBLK:
		kind = 'b'
	case syscall.S_IFCHR:
		kind = 'c'
	case syscall.S_IFIFO:
		kind = 'p'
	case syscall.S_IFSOCK:
		kind = 's'
	}
	b := []byte{kind, '-', '-', '-', '-', '-', '-', '-', '-', '-'}
	for i, c := range []byte("rwxrwxrwx") {
		if mode&(1<<(8-i)) != 0 {
			b[1+i] = c
		}
	}
	special(b, 3, mode&syscall.S_ISUID != 0, 's', 'S')
	special(b, 6, mode&syscall.S_ISGID != 0, 's', 'S')
	special(b, 9, mode&syscall.S_ISVTX != 0, 't', 'T')
	return string(b)
}

// special writes a set-id or sticky bit over the execute bit it shares a place with.
func special(b []byte, at int, set bool, withExec, without byte) {
	switch {
	case set && b[at] == 'x':
		b[at] = withExec
	case set:
		b[at] = without
	}
}
