package bootstrap

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"time"
)

// builds are two versions of the echo agent, uncompressed, and the images made of them.
var (
	builds [2][]byte
	built  [2]fs.FS
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "bootstrap-test")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		path := filepath.Join(dir, "agent")
		c := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "./testdata/echoagent")
		c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
		if out, err := c.CombinedOutput(); err != nil {
			panic(string(out))
		}
		builds[0] = must(os.ReadFile(path))
		builds[1] = bytes.ReplaceAll(builds[0], []byte("echo-1"), []byte("echo-2"))
		for i, data := range builds {
			built[i] = imageFS(map[Platform][]byte{Own(): data})
		}
		return m.Run()
	}())
}

// need skips a test for want of a program, but fails it where CI is set.
func need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("%s is not installed", p)
			}
			t.Skipf("%s is not installed", p)
		}
	}
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal("not root")
	}
	t.Skip("not root")
}

func zip(data []byte) []byte {
	var b bytes.Buffer
	z := must(gzip.NewWriterLevel(&b, gzip.BestSpeed))
	z.Write(data)
	z.Close()
	return b.Bytes()
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// imageFS is what the build makes of some executables.
func imageFS(images map[Platform][]byte) fs.FS {
	fsys := fstest.MapFS{"fakessh-none": &fstest.MapFile{}}
	for p, data := range images {
		fsys[p.fileName()+".gz"] = &fstest.MapFile{Data: zip(data)}
	}
	index, err := MakeIndex(fsys)
	if err != nil {
		panic(err)
	}
	fsys[indexName] = &fstest.MapFile{Data: []byte(index)}
	return fsys
}

// scriptImages has an agent of a few bytes, for tests where each of them costs.
func scriptImages() *Images {
	text := "#!/bin/sh\n[ $2 = probe ] || { echo " + marker + "ready script -; exec cat; }\n"
	return must(NewImages(imageFS(map[Platform][]byte{Own(): []byte(text)}), ""))
}

// testImages has the echo agent of the given version for the own platform.
func testImages(t testing.TB, version int) *Images {
	t.Helper()
	im, err := NewImages(built[version], "")
	if err != nil {
		t.Fatal(err)
	}
	return im
}

// far is a far side: how the first stage is started, and where.
type far struct {
	t     testing.TB
	home  string
	env   []string                          // beside HOME and PATH
	start func(argv []string) *exec.Cmd     // default: argv as it is
	wrap  func(io.ReadWriter) io.ReadWriter // what Start gets, if not the stream itself
	cfg   Config
	opt   Options
	im    *Images
	errs  *os.File // standard error

	pid   int
	rw    io.ReadWriter // what Start has got
	close func()        // ends what boot has started; also the end of the test does
}

func newFar(t testing.TB) *far {
	errs, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { errs.Close() })
	return &far{t: t, errs: errs, home: t.TempDir(), im: testImages(t, 0), cfg: Config{ID: 7, ParentIDs: []uint32{3, 0}, RemoteName: "it's me@here"}}
}

// run starts the first stage.
func (f *far) run() (near *os.File, c *exec.Cmd) {
	f.t.Helper()
	argv, err := Argv(f.im, f.cfg, f.opt.Local)
	if err != nil {
		f.t.Fatal(err)
	}
	c = exec.Command(argv[0], argv[1:]...)
	if f.start != nil {
		c = f.start(argv)
	}
	if c.Env == nil {
		c.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + f.home}, f.env...)
	}
	near, farEnd := pair(f.t)
	defer farEnd.Close()
	c.Stdin, c.Stdout, c.Stderr = farEnd, farEnd, f.errs
	if err := c.Start(); err != nil {
		f.t.Fatal(err)
	}
	return near, c
}

// boot runs the first stage to its end or to ready. The far side ends with the test.
func (f *far) boot() (*Ready, error) {
	f.t.Helper()
	near, c := f.run()
	f.pid = c.Process.Pid
	f.close = sync.OnceFunc(func() {
		near.Close()
		c.Process.Kill()
		c.Wait()
	})
	f.t.Cleanup(f.close)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var rw io.ReadWriter = near
	if f.wrap != nil {
		rw = f.wrap(near)
	}
	return f.begin(ctx, rw)
}

// begin is Start, which remembers the stream for echo.
func (f *far) begin(ctx context.Context, rw io.ReadWriter) (*Ready, error) {
	f.rw = rw
	return Start(ctx, rw, f.im, f.cfg, f.opt)
}

// up is boot for starts that have to succeed; it proves that the agent is there.
func (f *far) up() *Ready {
	f.t.Helper()
	r, err := f.boot()
	if err != nil {
		f.t.Fatalf("%v\nstandard error: %s", err, f.stderr())
	}
	f.echo(r)
	return r
}

// echo sends all byte values and wants them back.
func (f *far) echo(r *Ready) {
	f.t.Helper()
	out := make([]byte, 1024)
	for i := range out {
		out[i] = byte(i)
	}
	if _, err := f.rw.Write(out); err != nil {
		f.t.Fatal(err)
	}
	in := make([]byte, len(out))
	if _, err := io.ReadFull(afterReady(r, f.rw), in); err != nil {
		f.t.Fatal(err)
	}
	if !bytes.Equal(in, out) {
		f.t.Fatalf("echo differs: %q", in)
	}
}

// afterReady is what the link reads.
func afterReady(r *Ready, rest io.Reader) io.Reader {
	return io.MultiReader(bytes.NewReader(r.Early), rest)
}

// pair returns a connected pair of stream sockets.
func pair(t testing.TB) (a, b *os.File) {
	t.Helper()
	syscall.ForkLock.RLock() // no child may get them, or there would be no end of file
	defer syscall.ForkLock.RUnlock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	syscall.CloseOnExec(fds[0])
	syscall.CloseOnExec(fds[1])
	return os.NewFile(uintptr(fds[0]), "near"), os.NewFile(uintptr(fds[1]), "far")
}

// quoted is argv as one line for a login shell.
func quoted(argv []string) string {
	words := make([]string, len(argv))
	for i, a := range argv {
		words[i] = "'" + a + "'"
	}
	return strings.Join(words, " ")
}

// cacheFiles lists what is in a directory.
func cacheFiles(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func (f *far) stderr() string {
	text, err := os.ReadFile(f.errs.Name())
	if err != nil {
		f.t.Fatal(err)
	}
	return string(text)
}

// ranFrom is the directory of the agent's image as the agent sees it.
func (f *far) ranFrom() string {
	exe, err := os.Readlink("/proc/" + strconv.Itoa(f.pid) + "/exe")
	if err != nil {
		f.t.Fatal(err)
	}
	return filepath.Dir(exe)
}

// inside is a path of the far side's mount namespace.
func (f *far) inside(path string) string {
	return "/proc/" + strconv.Itoa(f.pid) + "/root" + path
}

// tools is a directory with the named programs of this machine alone.
func tools(t testing.TB, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// fewest are the programs that a start needs besides those that have a substitute.
var fewest = []string{"sh", "uname", "ls", "id", "mkdir", "chmod", "cat", "mv", "rm", "find"}

// in is the cache directory of f's home.
func (f *far) in() string { return filepath.Join(f.home, ".cache", "fakessh") }

// stored is the file name of a version of the echo agent.
func stored(version int) string { return storedName(Own(), digestOf(builds[version])) }
