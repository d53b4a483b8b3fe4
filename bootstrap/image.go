package bootstrap

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// Image is one build of the shipped program. What Lookup returns may be read by anyone.
type Image struct {
	Platform Platform
	Digest   string // SHA-256 of the executable, 64 hexadecimal digits
	Size     int64  // bytes of the executable
	zipped   int64  // bytes when compressed with gzip; 0 where there is no such form

	source source
	once   sync.Once
	err    error

	place sync.Mutex // held while Path works
	path  string
}

// source is where the bytes come from.
type source interface {
	// measure fills in Digest, Size and zipped.
	measure(*Image) error
	// open returns the executable, or its gzip form, with the number of bytes to come.
	open(img *Image, zipped bool) (io.ReadCloser, int64, error)
	// path names an executable file with the same bytes, if there is one already.
	path() (string, bool)
}

func (img *Image) measure() error {
	img.once.Do(func() { img.err = img.source.measure(img) })
	return img.err
}

// Open returns the executable's bytes. The caller closes it.
func (img *Image) Open() (io.ReadCloser, error) {
	r, _, err := img.source.open(img, false)
	return r, err
}

// packed is a gzip file in an fs.FS.
type packed struct {
	fsys fs.FS
	name string
	line indexLine // zero where the index has none

	once sync.Once
	err  error
}

func (s *packed) measure(img *Image) error {
	info, err := fs.Stat(s.fsys, s.name)
	if err != nil {
		return err
	}
	if s.line.zipped != info.Size() { // not of this build
		if s.line, err = measurePacked(s.fsys, s.name); err != nil {
			return err
		}
	}
	img.Digest, img.Size, img.zipped = s.line.digest, s.line.size, s.line.zipped
	return nil
}

func (s *packed) open(img *Image, zipped bool) (io.ReadCloser, int64, error) {
	if s.once.Do(func() { s.err = s.check() }); s.err != nil {
		return nil, 0, s.err
	}
	f, err := s.fsys.Open(s.name)
	if err != nil || zipped {
		return f, img.zipped, err
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return struct {
		io.Reader
		io.Closer
	}{z, f}, img.Size, nil
}

func (s *packed) path() (string, bool) { return "", false }

// check compares the file with the index before it is used for the first time.
func (s *packed) check() error {
	f, err := s.fsys.Open(s.name)
	if err != nil {
		return err
	}
	defer f.Close()
	digest, _, err := hash(f)
	if err == nil && digest != s.line.zipDigest {
		err = errors.New("image " + s.name + " is not the one in the index; build the images again")
	}
	return err
}

// plain is an executable file, held open.
type plain struct{ file *os.File }

func (s *plain) reader() *io.SectionReader { return io.NewSectionReader(s.file, 0, 1<<62) }

func (s *plain) measure(img *Image) error {
	var err error
	img.Digest, img.Size, err = hash(s.reader())
	if err == nil && img.Size == 0 {
		err = errors.New("empty file")
	}
	return err
}

func (s *plain) open(img *Image, zipped bool) (io.ReadCloser, int64, error) {
	if zipped {
		return nil, 0, errors.New("image for " + string(img.Platform) + " has no gzip form")
	}
	return io.NopCloser(s.reader()), img.Size, nil
}

// dup returns another descriptor of the file. It shares the offset with the first, which nobody uses.
func (s *plain) dup() (*os.File, error) {
	raw, err := s.file.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	var dupErr error
	err = raw.Control(func(own uintptr) {
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
		if fd, dupErr = syscall.Dup(int(own)); dupErr == nil {
			syscall.CloseOnExec(fd)
		}
	})
	if err = errors.Join(err, dupErr); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), s.file.Name()), nil
}

// path is the file's own, or the process's executable's, while it still leads to the open file. The names
// below /proc mean another file to another process.
func (s *plain) path() (string, bool) {
	own, _ := os.Executable()
	open, err := s.file.Stat()
	if err != nil {
		return "", false
	}
	for _, path := range []string{s.file.Name(), own} {
		info, err := os.Stat(path)
		if err == nil && filepath.IsAbs(path) && !strings.HasPrefix(path, "/proc/") && os.SameFile(info, open) && info.Mode()&0o111 != 0 {
			return path, true
		}
	}
	return "", false
}

// hash returns the SHA-256 and the length of what r gives.
func hash(r io.Reader) (digest string, size int64, err error) {
	h := sha256.New()
	size, err = io.CopyBuffer(h, onlyReader{r}, make([]byte, 128<<10))
	return hex.EncodeToString(h.Sum(nil)), size, err
}

// onlyReader hides WriteTo.
type onlyReader struct{ io.Reader }
