package bootstrap

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestIndexSavesUnpacking(t *testing.T) {
	fsys := fstest.MapFS{
		"fakessh-linux-arm64.gz": {Data: []byte("never looked at")},
		indexName:                {Data: []byte("linux/arm64 " + strings.Repeat("a", 64) + " 99 " + strings.Repeat("b", 64) + " 15\n")},
	}
	im, err := NewImages(fsys, "")
	if err != nil {
		t.Fatal(err)
	}
	argv, err := Argv(im, Config{}, false)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := argv[len(argv)-1], "linux/arm64:"+strings.Repeat("a", 64)+":15:99"; got != want {
		t.Errorf("table %q, want %q", got, want)
	}
	// But it is not believed when the image is about to be sent.
	img := must(im.Lookup("linux/arm64"))
	if _, err := img.Open(); err == nil || !strings.Contains(err.Error(), "index") {
		t.Errorf("opened in spite of the index: %v", err)
	}
}

func TestImageWithoutIndexOrOfAnotherBuild(t *testing.T) {
	data := []byte("an executable")
	for _, index := range []string{"", "linux/arm64 " + strings.Repeat("a", 64) + " 99 " + strings.Repeat("b", 64) + " 15\n"} {
		im := must(NewImages(fstest.MapFS{
			"fakessh-linux-arm64.gz": {Data: zip(data)},
			indexName:                {Data: []byte(index)},
		}, ""))
		img := must(im.Lookup("linux/arm64"))
		if img.Digest != digestOf(data) || img.Size != int64(len(data)) {
			t.Errorf("%+v", img)
		}
		if got := must(io.ReadAll(must(img.Open()))); !bytes.Equal(got, data) {
			t.Errorf("%q", got)
		}
	}
}

func TestBadImages(t *testing.T) {
	for name, fsys := range map[string]fs.FS{
		"index":    fstest.MapFS{indexName: {Data: []byte("linux/arm64\n")}},
		"platform": fstest.MapFS{"fakessh-Linux-..gz": {}},
	} {
		if _, err := NewImages(fsys, ""); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	im := must(NewImages(fstest.MapFS{"fakessh-linux-arm64.gz": {Data: []byte("not gzip")}}, ""))
	if _, err := Argv(im, Config{}, false); err == nil || !strings.Contains(err.Error(), "linux/arm64") {
		t.Errorf("argv of a broken image: %v", err)
	}
	if _, err := Argv(must(NewImages(nil, "")), Config{}, false); err == nil {
		t.Error("argv without any image")
	}
	if _, err := NewImages(nil, "/nonexistent"); err == nil {
		t.Error("an executable that is not there")
	}
	if err := im.Add("../x", os.Args[0]); err == nil {
		t.Error("a platform that is a path")
	}
	var needed *NeedImageError
	if _, err := im.Path("plan9/vax"); !errors.As(err, &needed) {
		t.Errorf("path of what there is not: %v", err)
	}
}

func TestSelfServesTheOwnPlatformOnly(t *testing.T) {
	exe := writeAgent(t)
	im := must(NewImages(fstest.MapFS{"fakessh-plan9-vax.gz": {Data: zip([]byte("x"))}}, exe))
	if got := im.Platforms(); !slices.Equal(got, []Platform{Own(), "plan9/vax"}) {
		t.Errorf("platforms %q", got)
	}
	if got := must(im.Path(Own())); got != exe {
		t.Errorf("path %q, want the executable itself", got)
	}
	im = must(NewImages(built[1], exe))
	if img := must(im.Lookup(Own())); img.Digest != digestOf(builds[1]) {
		t.Error("the executable came before the image")
	}
}

// writeAgent makes the echo agent a file.
func writeAgent(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "agent")
	if err := os.WriteFile(path, builds[0], 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// An agent that has been unlinked, or replaced on disk, still serves what it is.
func TestAddedFileStaysWhatItWas(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", "")
	path := writeAgent(t)
	im := must(NewImages(nil, path))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("another"), 0o755); err != nil {
		t.Fatal(err)
	}
	f := newFar(t)
	f.im = im
	if r := f.up(); r.Version != "echo-1" {
		t.Errorf("%+v", r)
	}
	for range 2 { // the first leaves the second its file
		open := must(im.Executable(Own()))
		c := exec.Command("/proc/self/fd/3", "agent", "probe")
		c.ExtraFiles = []*os.File{open}
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		open.Close()
	}
	extracted := must(im.Path(Own()))
	if extracted == path || digestOf(must(os.ReadFile(extracted))) != digestOf(builds[0]) {
		t.Errorf("path %q", extracted)
	}
}

func TestPathExtractsOnceAndAgainWhenItHasGone(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CACHE_HOME", "")
	want := filepath.Join(home, ".cache", "fakessh", stored(0))
	for range 2 {
		im := testImages(t, 0)
		for range 2 {
			if got := must(im.Path(Own())); got != want {
				t.Fatalf("path %q, want %q", got, want)
			}
			if out, err := exec.Command(want, "agent", "probe").CombinedOutput(); err != nil {
				t.Fatalf("%v %s", err, out)
			}
			if err := os.Remove(want); err != nil {
				t.Fatal(err)
			}
		}
		// What lies there is hashed before it is believed.
		if err := os.WriteFile(want, []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	f := newFar(t)
	f.home = home
	must(testImages(t, 0).Path(Own()))
	if r := f.up(); !r.Cached {
		t.Error("a local start has not used what Path had extracted")
	}
	if info := must(os.Stat(want)); info.Mode() != 0o755 {
		t.Errorf("mode %v", info.Mode())
	}
}

func TestPathPassesOverDirectoriesOfOthers(t *testing.T) {
	for name, spoil := range map[string]func(home string) error{
		"open":   func(home string) error { return os.Chmod(mkdirs(home, ".cache/fakessh"), 0o777) },
		"linked": func(home string) error { return os.Symlink(mkdirs(home, "x"), mkdirs(home, ".cache")+"/fakessh") },
		"linked cache": func(home string) error {
			mkdirs(home, "x/fakessh")
			return os.Symlink("x", home+"/.cache")
		},
		"movable": func(home string) error { return os.Chmod(home, 0o777) },
		"file":    func(home string) error { return os.WriteFile(mkdirs(home, ".cache")+"/fakessh", nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			t.Setenv("HOME", home)
			t.Setenv("XDG_CACHE_HOME", "")
			if err := spoil(home); err != nil {
				t.Fatal(err)
			}
			if root, err := enter(filepath.Join(home, ".cache", "fakessh")); err == nil {
				root.Close()
				t.Error("trusted")
			}
		})
	}
}

func mkdirs(home, dir string) string {
	path := filepath.Join(home, dir)
	if err := os.MkdirAll(path, 0o700); err != nil {
		panic(err)
	}
	return path
}

// As root with the kept HOME of somebody else.
func TestPathLeavesAnotherHomeAlone(t *testing.T) {
	needRoot(t)
	home := t.TempDir()
	if err := os.Chown(home, 12345, 12345); err != nil {
		t.Fatal(err)
	}
	if root, err := enter(filepath.Join(home, ".cache", "fakessh")); err == nil {
		root.Close()
		t.Error("trusted")
	}
	if left := cacheFiles(t, home); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestPut(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CACHE_HOME", "")
	dir := filepath.Join(home, ".cache", "fakessh")
	im := must(NewImages(nil, ""))
	size := int64(len(builds[0]))
	for name, err := range map[string]error{
		"short":    im.Put(Own(), digestOf(builds[0]), size, bytes.NewReader(builds[0][:size-1]), true),
		"damaged":  im.Put(Own(), digestOf(builds[0]), size, bytes.NewReader(builds[1]), true),
		"platform": im.Put("../../x", digestOf(builds[0]), size, bytes.NewReader(builds[0]), true),
		"digest":   im.Put(Own(), "../"+digestOf(builds[0])[3:], size, bytes.NewReader(builds[0]), true),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := os.Lstat(dir); err == nil {
		t.Error("an empty directory is left")
	}
	if im.Have(Own(), digestOf(builds[0])) {
		t.Error("has what was never put")
	}
	stream := bytes.NewReader(append(slices.Clone(builds[0]), "more"...))
	if err := im.Put(Own(), digestOf(builds[0]), size, stream, true); err != nil {
		t.Fatal(err)
	}
	if stream.Len() != 4 {
		t.Errorf("%d bytes left in the stream", stream.Len())
	}
	if got := must(im.Path(Own())); got != filepath.Join(dir, stored(0)) {
		t.Errorf("path %q", got)
	}
	other := must(NewImages(nil, ""))
	if !other.Have(Own(), digestOf(builds[0])) || len(other.Platforms()) != 1 {
		t.Error("another process does not find it")
	}
	if err := im.Put(Own(), digestOf(builds[1]), size, bytes.NewReader(builds[1]), false); err != nil {
		t.Fatal(err)
	}
	if left := cacheFiles(t, dir); !slices.Equal(left, []string{stored(0)}) {
		t.Errorf("left: %q", left)
	}
	f := newFar(t)
	f.im = im
	if r := f.up(); r.Version != "echo-2" {
		t.Errorf("%+v", r)
	}
}
