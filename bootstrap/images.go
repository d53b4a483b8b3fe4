package bootstrap

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
)

// Images chooses builds of the shipped program by platform. Its methods may be called at once. It keeps
// the files open that were added by path, so that they stay what they were, for as long as the process runs.
type Images struct {
	mu  sync.Mutex
	all map[Platform]*Image
}

// NewImages reads an fs.FS of "fakessh-OS-ARCH.gz" files, with "fakessh-index" as WriteIndex makes it, which
// saves unpacking them to learn their digests. fsys may be nil. self, when not "", is an executable that
// serves the own platform where the FS has no image for it ("/proc/self/exe").
func NewImages(fsys fs.FS, self string) (*Images, error) {
	im := &Images{all: make(map[Platform]*Image)}
	if fsys != nil {
		if err := im.addPacked(fsys); err != nil {
			return nil, err
		}
	}
	if _, ok := im.all[Own()]; !ok && self != "" {
		if err := im.Add(Own(), self); err != nil {
			return nil, err
		}
	}
	return im, nil
}

func (im *Images) addPacked(fsys fs.FS) error {
	index, err := readIndex(fsys)
	if err != nil {
		return err
	}
	names, err := fs.Glob(fsys, "fakessh-*-*.gz")
	if err != nil {
		return errors.New("bootstrap: list images: " + err.Error())
	}
	for _, name := range names {
		p := platformOf(name)
		if !p.valid() {
			return errors.New("bootstrap: no platform has an image of the name " + name)
		}
		im.all[p] = &Image{Platform: p, source: &packed{fsys: fsys, name: name, line: index[p]}}
	}
	return nil
}

// platformOf undoes Platform.fileName.
func platformOf(name string) Platform {
	name = strings.TrimSuffix(strings.TrimPrefix(name, "fakessh-"), ".gz")
	return Platform(strings.Replace(name, "-", "/", 1))
}

// Add makes a further image known, the uncompressed executable file at path, in place of one that was known
// for p. The file is opened, and read only when it is asked for.
func (im *Images) Add(p Platform, path string) error {
	if !p.valid() {
		return errors.New("bootstrap: platform " + printable(string(p)))
	}
	f, err := os.Open(path)
	if err != nil {
		return errors.New("bootstrap: image for " + string(p) + ": " + err.Error())
	}
	im.set(&Image{Platform: p, source: &plain{file: f}})
	return nil
}

func (im *Images) set(img *Image) {
	im.mu.Lock()
	defer im.mu.Unlock()
	im.all[img.Platform] = img
}

// Platforms lists what there are images for, in order.
func (im *Images) Platforms() []Platform {
	im.mu.Lock()
	defer im.mu.Unlock()
	var list []Platform
	for p := range im.all {
		list = append(list, p)
	}
	slices.Sort(list)
	return list
}

// Lookup returns the image for p with its digest and size. The error is a *NeedImageError where there is none.
func (im *Images) Lookup(p Platform) (*Image, error) {
	im.mu.Lock()
	img := im.all[p]
	im.mu.Unlock()
	if img == nil {
		return nil, &NeedImageError{p}
	}
	if err := img.measure(); err != nil {
		return nil, errors.New("bootstrap: image for " + string(p) + ": " + err.Error())
	}
	return img, nil
}
