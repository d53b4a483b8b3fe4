package bootstrap

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// keepImages is how many images of a platform stay in a directory.
const keepImages = 2

// tempPrefix begins the names of files that are not whole yet, or that are unlinked before use.
const tempPrefix = ".new-"

// storedName is the name of an image in a trusted directory.
func storedName(p Platform, digest string) string { return p.fileName() + "-" + digest }

// find looks for a stored image in the trusted directories and hashes it.
func find(p Platform, digest string) (path string, ok bool) {
	name := storedName(p, digest)
	for _, dir := range places() {
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			continue
		}
		root, err := enter(dir)
		if err != nil {
			continue
		}
		ok := holds(root, name, digest)
		root.Close()
		if path := filepath.Join(dir, name); ok && runs(p, path) {
			return path, true
		}
	}
	return "", false
}

// holds reports whether name is a file with that digest.
func holds(root *os.Root, name, digest string) bool {
	f, err := root.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	have, _, err := hash(f)
	return err == nil && have == digest
}

// runs reports whether the image at path can be executed there. An image for elsewhere is not tried.
func runs(p Platform, path string) bool {
	if p != Own() {
		return true
	}
	for range 100 {
		err := exec.Command(path, "agent", "probe").Run()
		if !errors.Is(err, syscall.ETXTBSY) {
			return err == nil
		}
		// A process that another goroutine is just starting still has the file open for writing.
		time.Sleep(5 * time.Millisecond)
	}
	return false
}

// errRead says that a source that can be read once has been.
var errRead = errors.New("the stream has been read")

// store writes what open gives into the first trusted directory that takes it, under the image's name. It ends
// early when open returns errRead.
func store(p Platform, digest string, open func() (io.ReadCloser, error)) (path string, err error) {
	var tried []string
	for _, dir := range places() {
		path, err := storeIn(dir, p, digest, open)
		if err == nil {
			return path, nil
		}
		if errors.Is(err, errRead) {
			break
		}
		tried = append(tried, err.Error())
	}
	return "", errors.New("bootstrap: no place for an image: " + strings.Join(tried, "; "))
}

func storeIn(dir string, p Platform, digest string, open func() (io.ReadCloser, error)) (path string, err error) {
	up := filepath.Dir(dir)
	_, missing := os.Lstat(up)
	defer func() {
		if err != nil {
			os.Remove(dir) // if it is empty
			if missing != nil {
				os.Remove(up) // so too
			}
		}
	}()
	root, err := enter(dir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	temp, err := fill(root, digest, open)
	if err != nil {
		return "", err
	}
	defer func() { _ = root.Remove(temp) }() // fails after the rename
	if !runs(p, filepath.Join(dir, temp)) {
		return "", errors.New(dir + ": nothing can be executed there")
	}
	name := storedName(p, digest)
	if err := root.Rename(temp, name); err != nil {
		return "", err
	}
	prune(root, p, name)
	return filepath.Join(dir, name), nil
}

// fill writes a new file, mode 0755, and returns its name once its digest has proved right.
func fill(root *os.Root, digest string, open func() (io.ReadCloser, error)) (name string, err error) {
	src, err := open()
	if err != nil {
		return "", err
	}
	defer src.Close()
	f, name, err := createTemp(root)
	if err != nil {
		return "", err
	}
	have, _, err := hash(io.TeeReader(src, f))
	if err == nil && have != digest {
		err = errors.New("image has SHA-256 " + have + ", not " + digest)
	}
	// Executed by other accounts too, through /proc/self/exe, when the agent becomes one of them.
	err = errors.Join(err, f.Chmod(0o755), f.Close())
	if err != nil {
		_ = root.Remove(name)
		return "", err
	}
	return name, nil
}

func createTemp(root *os.Root) (f *os.File, name string, err error) {
	for n := range 100 {
		name = tempPrefix + strconv.Itoa(os.Getpid()) + "-" + strconv.Itoa(n)
		f, err = root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o700)
		if !errors.Is(err, os.ErrExist) {
			break
		}
	}
	return f, name, err
}

// prune removes all but the newest images of p, of which name is one.
func prune(root *os.Root, p Platform, name string) {
	dir, err := root.Open(".")
	if err != nil {
		return
	}
	defer dir.Close()
	entries, _ := dir.ReadDir(-1)
	var old []os.FileInfo
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && e.Name() != name && strings.HasPrefix(e.Name(), p.fileName()+"-") {
			old = append(old, info)
		}
	}
	slices.SortFunc(old, func(a, b os.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	for _, info := range old[min(len(old), keepImages-1):] {
		_ = root.Remove(info.Name()) // another start may be first
	}
}

// Path returns a local executable file for p, e.g. to be started as `ssh` by Run. It is extracted into a
// directory of ours once, and its digest is verified by the first call of the process.
func (im *Images) Path(p Platform) (string, error) {
	img, err := im.Lookup(p)
	if err != nil {
		return "", err
	}
	img.place.Lock()
	defer img.place.Unlock()
	if info, err := os.Stat(img.path); img.path != "" && err == nil && info.Size() == img.Size {
		return img.path, nil
	}
	if path, ok := img.source.path(); ok {
		img.path = path
	} else if path, ok := find(p, img.Digest); ok {
		img.path = path
	} else if img.path, err = store(p, img.Digest, img.Open); err != nil {
		return "", err
	}
	return img.path, nil
}

// Executable returns an open executable for p, to be executed through its descriptor. Unlike Path it stores nothing when
// p was added as a file, even one without a name by now. The caller closes it.
func (im *Images) Executable(p Platform) (*os.File, error) {
	img, err := im.Lookup(p)
	if err != nil {
		return nil, err
	}
	if s, ok := img.source.(*plain); ok {
		return s.dup()
	}
	path, err := im.Path(p)
	if err != nil {
		return nil, err
	}
	return os.Open(path)
}

// Have makes a stored image with that digest known, if there is one.
func (im *Images) Have(p Platform, digest string) bool {
	if img, err := im.Lookup(p); err == nil && img.Digest == digest {
		return true
	}
	if !p.valid() || !isDigest(digest) {
		return false
	}
	path, ok := find(p, digest)
	return ok && im.Add(p, path) == nil
}

// Put stores an image that comes from elsewhere, size bytes of an executable with that digest, and makes
// it known. Without keep no name of it stays behind.
func (im *Images) Put(p Platform, digest string, size int64, r io.Reader, keep bool) error {
	if !p.valid() || !isDigest(digest) || size <= 0 {
		return errors.New("bootstrap: put image: platform, digest or size")
	}
	used := false
	path, err := store(p, digest, func() (io.ReadCloser, error) {
		if used {
			return nil, errRead
		}
		used = true
		return io.NopCloser(io.LimitReader(r, size)), nil
	})
	if err != nil {
		return err
	}
	err = im.Add(p, path)
	if !keep {
		err = errors.Join(err, os.Remove(path))
		os.Remove(filepath.Dir(path)) // if it is empty
	}
	return err
}

// Discard unlinks the image that the process was started from, if cfg says NoCache and the first stage
// stored it for this start alone, and its directory if that is empty then. It is called by the agent before
// it announces itself and before it changes its directory.
func Discard(cfg Config) {
	name := filepath.Base(os.Args[0])
	if !cfg.NoCache || !strings.HasPrefix(name, tempPrefix) {
		return
	}
	dir, err := os.Getwd()
	if err != nil || os.Remove(name) != nil {
		return
	}
	if base := filepath.Base(dir); base == "fakessh" || strings.HasPrefix(base, ".fakessh-") {
		os.Remove(dir) // stays where other images are
	}
}
