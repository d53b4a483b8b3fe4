package bootstrap

import (
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"strconv"
	"strings"
)

// indexName is the file that saves unpacking the images to learn their digests. A line of it is
//
//	OS/ARCH SHA256 SIZE SHA256-OF-GZIP SIZE-OF-GZIP
const indexName = "fakessh-index"

type indexLine struct {
	digest    string
	size      int64
	zipDigest string
	zipped    int64
}

// readIndex returns an empty index where there is none.
func readIndex(fsys fs.FS) (map[Platform]indexLine, error) {
	text, err := fs.ReadFile(fsys, indexName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, errors.New("bootstrap: image index: " + err.Error())
	}
	return parseIndex(string(text))
}

func parseIndex(text string) (map[Platform]indexLine, error) {
	index := make(map[Platform]indexLine)
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if line == "" {
			continue
		}
		p, l, ok := parseIndexLine(line)
		if !ok {
			return nil, errors.New("bootstrap: image index, line " + strconv.Itoa(i+1))
		}
		index[p] = l
	}
	return index, nil
}

func parseIndexLine(line string) (p Platform, l indexLine, ok bool) {
	word := strings.Split(line, " ")
	if len(word) != 5 {
		return "", l, false
	}
	size, err := strconv.ParseInt(word[2], 10, 64)
	zipped, err2 := strconv.ParseInt(word[4], 10, 64)
	p = Platform(word[0])
	l = indexLine{digest: word[1], size: size, zipDigest: word[3], zipped: zipped}
	ok = err == nil && err2 == nil && size > 0 && zipped > 0 && p.valid() && isDigest(l.digest) && isDigest(l.zipDigest)
	return p, l, ok
}

func isDigest(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}

func (l indexLine) format(p Platform) string {
	return string(p) + " " + l.digest + " " + strconv.FormatInt(l.size, 10) + " " + l.zipDigest + " " + strconv.FormatInt(l.zipped, 10) + "\n"
}

// MakeIndex unpacks the images of fsys and returns the text of its index. It is the build's.
func MakeIndex(fsys fs.FS) (string, error) {
	names, err := fs.Glob(fsys, "fakessh-*-*.gz")
	if err != nil {
		return "", err
	}
	var text strings.Builder
	for _, name := range names {
		line, err := measurePacked(fsys, name)
		if err != nil {
			return "", errors.New("bootstrap: image " + name + ": " + err.Error())
		}
		text.WriteString(line.format(platformOf(name)))
	}
	return text.String(), nil
}

func measurePacked(fsys fs.FS, name string) (l indexLine, err error) {
	f, err := fsys.Open(name)
	if err != nil {
		return l, err
	}
	defer f.Close()
	if l.zipDigest, l.zipped, err = hash(f); err != nil {
		return l, err
	}
	again, err := fsys.Open(name)
	if err != nil {
		return l, err
	}
	defer again.Close()
	z, err := gzip.NewReader(again)
	if err != nil {
		return l, err
	}
	l.digest, l.size, err = hash(io.Reader(z))
	return l, err
}
