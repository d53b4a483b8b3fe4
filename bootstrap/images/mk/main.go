// mk builds the shipped program for a list of platforms and leaves the images, gzipped, and their index in
// a directory. The same sources and the same Go give the same bytes. What has not changed is not written.
package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"fakessh/bootstrap"
)

func main() {
	platforms := flag.String("platforms", "linux/amd64,linux/arm64", "what to build for, OS/ARCH with commas")
	pkg := flag.String("pkg", "./cmd/fakessh", "the shipped program")
	dir := flag.String("o", "bootstrap/images", "directory of the images")
	flag.Parse()
	if err := build(strings.Split(*platforms, ","), *pkg, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

// build makes all images at once, removes those of other platforms, and writes the index.
func build(platforms []string, pkg, dir string) error {
	names := make([]string, len(platforms))
	errs := make([]error, len(platforms))
	var wg sync.WaitGroup
	for i, p := range platforms {
		wg.Go(func() { names[i], errs[i] = image(p, pkg, dir) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	old, err := filepath.Glob(filepath.Join(dir, "fakessh-*-*.gz"))
	if err != nil {
		return err
	}
	for _, path := range old {
		if !slices.Contains(names, filepath.Base(path)) {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	index, err := bootstrap.MakeIndex(os.DirFS(dir))
	if err != nil {
		return err
	}
	return replace(filepath.Join(dir, "fakessh-index"), []byte(index))
}

// image builds for one platform and returns the name of the file.
func image(platform, pkg, dir string) (string, error) {
	system, cpu, ok := strings.Cut(platform, "/")
	if !ok {
		return "", fmt.Errorf("platform %q is not OS/ARCH", platform)
	}
	temp, err := os.MkdirTemp("", "fakessh-image")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(temp)
	out := filepath.Join(temp, "fakessh")
	c := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", out, pkg)
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+cpu, "GOARM=6", "GOFLAGS=")
	c.Stderr = os.Stderr
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("build for %s: %w", platform, err)
	}
	program, err := os.ReadFile(out)
	if err != nil {
		return "", err
	}
	name := "fakessh-" + system + "-" + cpu + ".gz"
	path := filepath.Join(dir, name)
	if holds(path, program) {
		return name, nil
	}
	packed, err := pack(program)
	if err != nil {
		return "", err
	}
	return name, replace(path, packed)
}

// holds reports whether the gzip file at path unpacks to program.
func holds(path string, program []byte) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return false
	}
	have, err := io.ReadAll(z)
	return err == nil && bytes.Equal(have, program)
}

// pack compresses without name and time, as gzip -9 -n does.
func pack(program []byte) ([]byte, error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(program); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// replace writes data to path in one step, unless it is there already.
func replace(path string, data []byte) error {
	have, err := os.ReadFile(path)
	if err == nil && bytes.Equal(have, data) {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	temp := filepath.Join(filepath.Dir(path), ".new-"+filepath.Base(path))
	if err := os.WriteFile(temp, data, 0o644); err != nil {
		return err
	}
	return os.Rename(temp, path)
}
