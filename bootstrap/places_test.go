package bootstrap

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// isolate starts the far side in a mount namespace where /mnt is the home and all shared places are empty.
// setup, a piece of sh, can spoil them.
func (f *far) isolate(setup string) { f.isolateWith("/media", setup) }

// isolateWith also shows the directory media as /media.
func (f *far) isolateWith(media, setup string) {
	f.t.Helper()
	needRoot(f.t)
	need(f.t, "unshare", "mount")
	begin := `set -e; mount --bind "$HOME" /mnt; mount --bind ` + media + ` /media; for d in /var/tmp /dev/shm /tmp; do mount -t tmpfs -o mode=1777 none $d; done; `
	f.start = func(argv []string) *exec.Cmd {
		return exec.Command("unshare", slices.Concat([]string{"-m", "dash", "-c", begin + setup + `; HOME=/mnt exec "$@"`, "dash"}, argv)...)
	}
}

const (
	inHome = "/mnt/.cache/fakessh"
	inVar  = "/var/tmp/.fakessh-0"
	inShm  = "/dev/shm/.fakessh-0"
	inTmp  = "/tmp/.fakessh-0"
)

func TestPlaceIsTheFirstThatWillDo(t *testing.T) {
	t.Parallel()
	const noexec = "mount -t tmpfs -o noexec,mode=1777 none "
	for _, c := range []struct{ name, setup, want string }{
		{"home", "true", inHome},
		{"home read-only", "mount -o remount,ro,bind /mnt", inVar},
		{"home noexec", noexec + "/mnt", inVar},
		{"home full", "mount -t tmpfs -o size=64k none /mnt", inVar},
		{"home full of files", "mount -t tmpfs -o nr_inodes=3 none /mnt", inVar},
		{"home and /var/tmp noexec", noexec + "/mnt; " + noexec + "/var/tmp", inShm},
		{"home and /var/tmp and /dev/shm full", "for d in /mnt /var/tmp /dev/shm; do mount -t tmpfs -o size=256k none $d; done", inTmp},
		{"home somebody else's", "chown 12345 /mnt", inVar},
		{"home and cache somebody else's", "mkdir /mnt/.cache; chown 12345 /mnt /mnt/.cache", inVar},
		{"cache a symbolic link", "mkdir -m 700 /mnt/x; ln -s x /mnt/.cache", inVar},
		{"place a symbolic link", "mkdir -m 700 /mnt/.cache /mnt/x; ln -s ../x /mnt/.cache/fakessh", inVar},
		{"place a dangling link", "mkdir -m 700 /mnt/.cache; ln -s x /mnt/.cache/fakessh", inVar},
		{"place a file", "mkdir -m 700 /mnt/.cache; echo >/mnt/.cache/fakessh", inVar},
		{"place open to the group", "mkdir -m 700 /mnt/.cache; mkdir -m 770 /mnt/.cache/fakessh", inVar},
		{"place open to all", "mkdir -m 700 /mnt/.cache; mkdir -m 777 /mnt/.cache/fakessh", inVar},
		{"place readable by all", "mkdir -m 700 /mnt/.cache; mkdir -m 755 /mnt/.cache/fakessh", inVar},
		{"place somebody else's", "chmod 755 /mnt; mkdir -m 755 /mnt/.cache; mkdir -m 700 /mnt/.cache/fakessh; chown 12345 /mnt/.cache/fakessh", inVar},
		{"name in /var/tmp taken", "chown 12345 /mnt; mkdir -m 700 /var/tmp/.fakessh-0; chown 12345 /var/tmp/.fakessh-0", inShm},
		{"name in /var/tmp a link to what is ours", "chown 12345 /mnt; mkdir -m 700 /tmp/x; ln -s /tmp/x /var/tmp/.fakessh-0", inShm},
		{"setgid parent", "chmod 2755 /mnt", inHome},
		{"XDG_CACHE_HOME", "export XDG_CACHE_HOME=/mnt/xdg", "/mnt/xdg/fakessh"},
		{"XDG_CACHE_HOME relative", "export XDG_CACHE_HOME=xdg", inHome},
		{"XDG_CACHE_HOME somebody else's", "mkdir -m 777 /mnt/xdg; chown 12345 /mnt/xdg; export XDG_CACHE_HOME=/mnt/xdg", inHome},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFar(t)
			f.isolate(c.setup)
			f.up()
			if got := f.ranFrom(); got != c.want {
				t.Errorf("ran from %s, want %s", got, c.want)
			}
			if got := cacheFiles(t, f.inside(c.want)); !slices.Equal(got, []string{stored(0)}) {
				t.Errorf("%s holds %q", c.want, got)
			}
			if c.want != inHome {
				if left, _ := filepath.Glob(f.inside(inHome) + "/*"); len(left) > 0 {
					t.Errorf("left in %s: %q", inHome, left)
				}
			}
		})
	}
}

// A home that is not ours is left as it was: no root-owned directory in somebody's home after sudo.
func TestHomeOfAnotherIsNotTouched(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	f.isolate("chown 12345 /mnt")
	f.up()
	if left := cacheFiles(t, f.home); len(left) > 0 {
		t.Errorf("left in the other's home: %q", left)
	}
}

func TestWithoutAnyPlace(t *testing.T) {
	t.Parallel()
	const spoil = "for d in /mnt /var/tmp /dev/shm /tmp; do mount -t tmpfs -o noexec,mode=1777 none $d; done"
	for _, local := range []bool{false, true} {
		for _, noCache := range []bool{false, true} {
			t.Run("memory"+map[bool]string{true: " raw"}[local], func(t *testing.T) {
				need(t, "/usr/bin/python3")
				f := newFar(t)
				f.opt.Local, f.cfg.NoCache = local, noCache
				f.env = []string{"PATH=/usr/bin:/bin:/usr/sbin:/sbin"}
				f.isolate(spoil)
				f.up()
				if got := f.ranFrom(); got != "/" {
					t.Errorf("ran from %q", got)
				}
			})
		}
	}
	t.Run("error", func(t *testing.T) {
		f := newFar(t)
		bin := tools(t, append(fewest, "head", "gzip", "sha256sum")...)
		f.isolateWith(bin, spoil+"; PATH=/media")
		_, err := f.boot()
		var stage *StageError
		if !errors.As(err, &stage) {
			t.Fatalf("%v", err)
		}
		for _, want := range []string{inHome, inVar, inShm, inTmp, "noexec", "python3"} {
			if !strings.Contains(stage.Err.Error(), want) {
				t.Errorf("%q does not say %q", stage.Err, want)
			}
		}
	})
}

// What others have put under our name is not run, wherever it lies.
func TestPlantedProgramIsNotRun(t *testing.T) {
	t.Parallel()
	for name, setup := range map[string]string{
		"open directory":  "mkdir -p /mnt/.cache/fakessh; plant /mnt/.cache/fakessh; chmod 777 /mnt/.cache/fakessh",
		"group directory": "mkdir -p /mnt/.cache/fakessh; plant /mnt/.cache/fakessh; chmod 730 /mnt/.cache/fakessh",
		"other's":         "mkdir -p /mnt/.cache/fakessh; plant /mnt/.cache/fakessh; chmod 700 /mnt/.cache/fakessh; chown -R 12345 /mnt/.cache",
		"linked":          "mkdir -m 700 -p /mnt/.cache /mnt/x; plant /mnt/x; chmod 700 /mnt/x; ln -s ../x /mnt/.cache/fakessh",
		"shared place":    "mkdir -m 700 /var/tmp/.fakessh-0; plant /var/tmp/.fakessh-0; chown 12345 /var/tmp/.fakessh-0",
		"empty":           "mkdir -p -m 700 /mnt/.cache/fakessh; : >/mnt/.cache/fakessh/$name; chmod 755 /mnt/.cache/fakessh/$name",
		"cut short":       "mkdir -p -m 700 /mnt/.cache/fakessh; plant /mnt/.cache/fakessh; chmod 700 /mnt/.cache/fakessh",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFar(t)
			f.isolate("name=" + stored(0) + `; plant() { printf "#!/bin/sh\necho planted >/tmp/planted\n" >$1/$name; chmod 755 $1/$name; }; ` + setup)
			if r := f.up(); r.Cached {
				t.Error("taken from the cache")
			}
			if _, err := os.Stat(f.inside("/tmp/planted")); err == nil {
				t.Error("the planted program has run")
			}
		})
	}
}

// An image of the right size with a wrong byte is found out by Verify, and replaced.
func TestVerifyReplacesADamagedImage(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	f.up()
	path := filepath.Join(f.in(), stored(0))
	f.close()
	damaged := slices.Clone(builds[0])
	copy(damaged, "not a program")
	if err := os.WriteFile(path, damaged, 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := f.boot()
	var stage *StageError
	if !errors.As(err, &stage) || !stage.Cached || stage.Stage != "ready" {
		t.Fatalf("start of a damaged image: %#v", err)
	}
	f.cfg.Verify = true
	if r := f.up(); r.Cached {
		t.Error("taken from the cache")
	}
	if r := f.up(); !r.Cached {
		t.Error("not cached")
	}
}

func TestWithoutAHome(t *testing.T) {
	t.Parallel()
	for _, home := range []string{"-uHOME", "HOME=", "HOME=mnt"} {
		f := newFar(t)
		f.isolate("cd /")
		isolated := f.start
		f.start = func(argv []string) *exec.Cmd { return isolated(append([]string{"env", home}, argv...)) }
		f.up()
		if got := f.ranFrom(); got != inVar {
			t.Errorf("%s: ran from %s", home, got)
		}
	}
}

func TestAnotherAccountHasItsOwnPlace(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	f.isolate("chown 0 /mnt; chmod 755 /mnt")
	root := f.start
	f.start = func(argv []string) *exec.Cmd {
		return root(append([]string{"setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"}, argv...))
	}
	r := f.up()
	if got := f.ranFrom(); got != "/var/tmp/.fakessh-12345" {
		t.Errorf("ran from %s", got)
	}
	if !slices.Contains(r.Caps, "uid=12345") {
		t.Errorf("capabilities %q", r.Caps)
	}
}

func TestTwoNewestImagesAreKept(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	f.up()
	old := Platform("plan9/vax").fileName() + "-" + strings.Repeat("0", 64)
	for i, name := range []string{storedName(Own(), strings.Repeat("1", 64)), storedName(Own(), strings.Repeat("2", 64)), old, ".new-1", ".new-2"} {
		path := filepath.Join(f.in(), name)
		if err := os.WriteFile(path, nil, 0o755); err != nil {
			t.Fatal(err)
		}
		when := time.Now().Add(-time.Duration(50-i) * time.Hour)
		if name == ".new-2" {
			when = time.Now() // somebody is at it
		}
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
	}
	f.im = testImages(t, 1)
	if r := f.up(); r.Version != "echo-2" {
		t.Errorf("version %s", r.Version)
	}
	want := []string{".new-2", stored(0), stored(1), old}
	slices.Sort(want)
	if got := cacheFiles(t, f.in()); !slices.Equal(got, want) {
		t.Errorf("have %q, want %q", got, want)
	}
}

func TestNoCacheLeavesNothing(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	f.cfg.NoCache = true
	if err := os.Mkdir(filepath.Join(f.home, ".cache"), 0o755); err != nil {
		t.Fatal(err)
	}
	f.up()
	if got := cacheFiles(t, filepath.Join(f.home, ".cache")); len(got) > 0 {
		t.Errorf("left: %q", got)
	}
	f.cfg.NoCache = false
	f.up()
	f.cfg.NoCache = true
	if r := f.up(); r.Cached {
		t.Error("the cache was used")
	}
	if got := cacheFiles(t, f.in()); !slices.Equal(got, []string{stored(0)}) {
		t.Errorf("cache holds %q", got)
	}
}

// Nothing is left of a home in which nothing can be executed. Nor can it anywhere else here, so that other tests find no image there.
func TestNothingStaysInAHomeThatWillNotDo(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"dash", "bash"} { // busybox has a chmod of its own
		shell := shells[name]
		need(t, shell[0])
		f := newFar(t)
		bin := t.TempDir()
		if err := os.WriteFile(filepath.Join(bin, "chmod"), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		f.env = []string{"PATH=" + bin + ":" + os.Getenv("PATH")}
		f.start = func(argv []string) *exec.Cmd {
			return exec.Command(shell[0], slices.Concat(shell[1:], argv[1:])...)
		}
		_, _ = f.boot() // to memory, where there is a python3
		if left := cacheFiles(t, f.home); len(left) > 0 {
			t.Errorf("%s: left %q", name, left)
		}
	}
}

// A parent that goes away in the middle leaves nothing behind on the other side.
func TestNothingStaysOfAnUploadCutShort(t *testing.T) {
	t.Parallel()
	for name, shell := range shells {
		for _, sent := range []int{0, 100000} {
			need(t, shell[0])
			f := newFar(t)
			f.start = func(argv []string) *exec.Cmd {
				return exec.Command(shell[0], slices.Concat(shell[1:], argv[1:])...)
			}
			near, c := f.run()
			for line := bufio.NewScanner(near); line.Scan(); {
				if parseMarker(line.Text()).kind == helloNeed {
					break
				}
			}
			if _, err := near.Write(make([]byte, sent)); err != nil {
				t.Error(err)
			}
			near.Close()
			c.Wait() // fails in one way or another
			if left := cacheFiles(t, filepath.Dir(f.in())); len(left) > 0 {
				t.Errorf("%s, %d bytes sent: left %q", name, sent, left)
			}
		}
	}
}

func TestStartsAtOnceShareTheCache(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	done := make(chan error)
	const n = 8
	for range n {
		g := newFar(t)
		g.home = f.home
		go func() {
			_, err := g.boot()
			done <- err
		}()
	}
	for range n {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if got := cacheFiles(t, f.in()); !slices.Equal(got, []string{stored(0)}) {
		t.Errorf("cache holds %q", got)
	}
}

// The account's umask reaches the agent, and strange names and variables do no harm.
func TestStrangeEnvironment(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	f.home = filepath.Join(f.home, "a b*[c] $HOME")
	if err := os.Mkdir(f.home, 0o750); err != nil {
		t.Fatal(err)
	}
	f.env = []string{"IFS=/", "CDPATH=/usr:/", "LC_ALL=C.UTF-8", "POSIXLY_CORRECT=1", "TMPDIR=/nonexistent", "XDG_CACHE_HOME="}
	f.start = func(argv []string) *exec.Cmd {
		return exec.Command("dash", append([]string{"-c", `umask 027; exec "$@"`, "dash"}, argv...)...)
	}
	for _, cached := range []bool{false, true} {
		if r := f.up(); r.Cached != cached || !slices.Contains(r.Caps, "umask=27") {
			t.Errorf("%+v", r)
		}
	}
	info, err := os.Stat(filepath.Join(f.in(), stored(0)))
	if err != nil || info.Mode() != 0o755 {
		t.Errorf("mode of the image: %v, %v", info.Mode(), err)
	}
	if info, err = os.Stat(f.in()); err != nil || info.Mode().Perm() != 0o700 || info.Sys().(*syscall.Stat_t).Uid != uint32(os.Geteuid()) {
		t.Errorf("mode of the directory: %v, %v", info.Mode(), err)
	}
}
