package bootstrap

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// shells are those that may stand behind the name sh.
var shells = map[string][]string{
	"dash":    {"dash"},
	"bash":    {"bash", "--posix"},
	"busybox": {"busybox", "sh"},
}

func TestFirstStageInEveryShell(t *testing.T) {
	t.Parallel()
	for name, shell := range shells {
		for _, local := range []bool{false, true} {
			t.Run(name+map[bool]string{true: "-local"}[local], func(t *testing.T) {
				need(t, shell[0])
				f := newFar(t)
				f.opt.Local = local
				f.start = func(argv []string) *exec.Cmd {
					return exec.Command(shell[0], slices.Concat(shell[1:], argv[1:])...)
				}
				first := f.up()
				if first.Cached || first.Platform != Own() || first.Version != "echo-1" || first.Uploaded <= 0 {
					t.Errorf("first start: %+v", first)
				}
				if !slices.Contains(first.Caps, "name=it's_me@here") {
					t.Errorf("capabilities %q", first.Caps)
				}
				if second := f.up(); !second.Cached || second.Uploaded != 0 {
					t.Errorf("second start: %+v", second)
				}
				if got := cacheFiles(t, f.in()); !slices.Equal(got, []string{stored(0)}) {
					t.Errorf("cache holds %q", got)
				}
				if s := f.stderr(); s != "" {
					t.Errorf("standard error: %s", s)
				}
			})
		}
	}
}

// Everything that the script calls comes from busybox, as in a small container.
func TestFirstStageWithBusyboxAlone(t *testing.T) {
	t.Parallel()
	need(t, "busybox")
	bin := busyboxDir(t)
	f := newFar(t)
	f.start = func(argv []string) *exec.Cmd {
		c := exec.Command(filepath.Join(bin, "sh"), argv[1:]...)
		c.Env = []string{"PATH=" + bin, "HOME=" + f.home}
		return c
	}
	f.up()
	if r := f.up(); !r.Cached {
		t.Error("not cached")
	}
}

// busyboxDir is a directory with nothing but busybox's programs, less those named.
func busyboxDir(t *testing.T, without ...string) string {
	t.Helper()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	list, err := exec.Command(busybox, "--list").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range strings.Fields(string(list)) {
		if !slices.Contains(without, name) {
			if err := os.Symlink(busybox, filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// Login shells of any kind only have to start sh -c.
func TestFirstStageThroughLoginShells(t *testing.T) {
	t.Parallel()
	for _, login := range []string{"dash", "bash", "fish", "tcsh", "csh"} {
		t.Run(login, func(t *testing.T) {
			need(t, login)
			f := newFar(t)
			f.start = func(argv []string) *exec.Cmd { return exec.Command(login, "-c", quoted(argv)) }
			f.up()
			if r := f.up(); !r.Cached {
				t.Error("not cached")
			}
		})
	}
}

func TestArgvNeedsNothingButSingleQuotes(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	f.cfg.RemoteName = "a'b\\c!d\ne~=f$(g)\x00ü"
	argv, err := Argv(f.im, f.cfg, true)
	if err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(argv[2], "'!\\\n\r") || len(argv[2]) > 8000 {
		t.Errorf("script of %d bytes has a character that some shell reads in quotes", len(argv[2]))
	}
	for _, word := range argv[3:] {
		if word == "" || strings.Trim(word, plainBytes+"=") != "" {
			t.Errorf("word %q", word)
		}
	}
}
