package bootstrap

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// withPath starts the far side with the programs of one directory only.
func (f *far) withPath(dir string) {
	f.start = func(argv []string) *exec.Cmd {
		c := exec.Command(filepath.Join(dir, "sh"), argv[1:]...)
		c.Env = []string{"PATH=" + dir, "HOME=" + f.home}
		return c
	}
}

func TestSubstitutesForMissingPrograms(t *testing.T) {
	t.Parallel()
	for name, have := range map[string][]string{
		"all":                 {"head", "gzip", "sha256sum"},
		"no gzip":             {"head", "sha256sum"},
		"no head":             {"dd", "gzip", "sha256sum"},
		"shasum":              {"head", "gzip", "shasum", "perl"},
		"openssl":             {"head", "gzip", "openssl"},
		"python alone":        {"python3", "head"},
		"neither gzip nor dd": {"head", "sha256sum"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, program := range have {
				if program == "python3" {
					need(t, "/usr/bin/python3")
					continue
				}
				need(t, program)
			}
			f := newFar(t)
			dir := tools(t, fewest...)
			for _, program := range have {
				link(t, dir, program)
			}
			f.withPath(dir)
			f.up()
		})
	}
}

// link makes a program of this machine known in dir. Python is the system's, not a wrapper in somebody's PATH.
func link(t *testing.T, dir, program string) {
	t.Helper()
	path := filepath.Join("/usr/bin", program)
	if err := os.Symlink(path, filepath.Join(dir, program)); err != nil {
		t.Fatal(err)
	}
}

// script puts an executable piece of sh into dir.
func script(t *testing.T, dir, name, text string) {
	t.Helper()
	os.Remove(filepath.Join(dir, name))
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// A head without -c and a dd that knows no iflag are still enough.
func TestOldDD(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	f.im = scriptImages()
	dir := tools(t, append(fewest, "gzip", "sha256sum")...)
	script(t, dir, "dd", `for a; do case $a in iflag=*) echo "dd: unknown $a" >&2; exit 1;; esac; done; exec /usr/bin/dd "$@" 2>/dev/null`)
	script(t, dir, "head", `echo "head: bad option -- c" >&2; exit 1`)
	f.withPath(dir)
	f.up()
}

// FreeBSD's program for digests prints nothing else.
func TestFreeBSDDigest(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	dir := tools(t, append(fewest, "gzip", "head")...)
	script(t, dir, "sha256", `[ "$1" = -q ] || exit 1; s=$(/usr/bin/sha256sum); echo ${s%% *}`)
	f.withPath(dir)
	f.up()
}

func TestWithoutAnyDigest(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	f.withPath(tools(t, append(fewest, "gzip", "head")...))
	_, err := f.boot()
	if err == nil || !strings.Contains(err.Error(), "sha256sum") {
		t.Errorf("error %v does not name what is missing", err)
	}
	if left := cacheFiles(t, f.in()); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// A test program without -O: the owner comes from ls and id.
func TestOwnerWithoutTestO(t *testing.T) {
	t.Parallel()
	need(t, "bash")
	f := newFar(t)
	f.start = func(argv []string) *exec.Cmd {
		old := `[() { case $1 in -O) echo "[: -O: unknown" >&2; return 2;; esac; builtin [ "$@"; }; `
		return exec.Command("bash", append([]string{"-c", old + argv[2]}, argv[3:]...)...)
	}
	f.up()
	if r := f.up(); !r.Cached {
		t.Error("not cached")
	}
	if got := cacheFiles(t, f.in()); len(got) != 1 {
		t.Errorf("cache holds %q", got)
	}
}

// The first stage and parsePlatform have to agree, or the wrong image would be sent.
func TestPlatformNames(t *testing.T) {
	t.Parallel()
	dir := tools(t, append(fewest, "head", "gzip", "sha256sum")...)
	for uname, want := range map[string]Platform{
		"Linux x86_64":   "linux/amd64",
		"Linux aarch64":  "linux/arm64",
		"Linux i686":     "linux/386",
		"Linux i386":     "linux/386",
		"Linux armv6l":   "linux/arm",
		"Linux armv7l":   "linux/arm",
		"Linux armv8l":   "linux/arm",
		"Linux armv5tel": "linux/armv5tel",
		"Linux riscv64":  "linux/riscv64",
		"Linux ppc64le":  "linux/ppc64le",
		"Linux s390x":    "linux/s390x",
		"FreeBSD amd64":  "freebsd/amd64",
		"FreeBSD arm64":  "freebsd/arm64",
		"FreeBSD i386":   "freebsd/386",
		"Darwin x86_64":  "darwin/amd64",
		"Darwin arm64":   "darwin/arm64",
		"SunOS i86pc":    "SunOS/i86pc",
	} {
		if got := parsePlatform(uname); got != want {
			t.Errorf("parsePlatform(%q) = %q, want %q", uname, got, want)
		}
		f := newFar(t)
		script(t, dir, "uname", "echo "+uname)
		f.withPath(dir)
		// The table has an image for what is wanted alone: any other answer is "none".
		f.im = must(NewImages(nil, ""))
		f.im.set(&Image{Platform: want, source: tiny.all["linux/amd64"].source})
		near, c := f.run()
		defer near.Close()
		for line := bufio.NewScanner(near); line.Scan(); {
			if m := parseMarker(line.Text()); m.kind != noMarker {
				if m.kind != helloNeed || m.uname != uname {
					t.Errorf("%s: %q", uname, line.Text())
				}
				break
			}
		}
		c.Process.Kill()
		c.Wait()
	}
}

func TestUnknownPlatform(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	dir := tools(t, append(fewest, "head", "gzip", "sha256sum")...)
	script(t, dir, "uname", "echo Plan9 vax")
	f.withPath(dir)
	_, err := f.boot()
	var needed *NeedImageError
	if !errors.As(err, &needed) || needed.Platform != "Plan9/vax" {
		t.Errorf("%v", err)
	}
	if left := cacheFiles(t, f.home); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}
