package session

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// runs lists the places in dir.
func runs(t *testing.T, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, placePrefix+"*"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range names {
		names[i] = strings.TrimPrefix(filepath.Base(names[i]), placePrefix)
	}
	return strings.Join(names, " ")
}

func newPlace(t *testing.T) *Place {
	t.Helper()
	p, err := NewPlace("/bin/true", true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Remove)
	return p
}

// tempDir is where NewPlace makes places: with a path that is short enough.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "fakessh-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv("TMPDIR", dir)
	return dir
}

// A place outlives a process that was killed, and not the next run.
func TestPlacesOfKilledRunsAreRemoved(t *testing.T) {
	dir := tempDir(t)
	newPlace(t) // lives
	want := runs(t, dir)

	dead := newPlace(t)
	if _, err := dead.Listen(); err != nil {
		t.Fatal(err)
	}
	ended := exec.Command("true")
	if err := errors.Join(ended.Run(), dead.Began(ended.Process.Pid), dead.lock.Close()); err != nil {
		t.Fatal(err)
	}
	orphaned := newPlace(t) // the run is dead, but its program lives and still looks for its ssh
	if err := errors.Join(orphaned.Began(os.Getpid()), orphaned.lock.Close()); err != nil {
		t.Fatal(err)
	}
	want += " " + strings.TrimPrefix(filepath.Base(orphaned.dir), placePrefix)
	newPlace(t).Remove()
	got := strings.Fields(runs(t, dir))
	for _, name := range strings.Fields(want) {
		if !strings.Contains(strings.Join(got, " "), name) {
			t.Errorf("%s is gone", name)
		}
	}
	if len(got) != 2 {
		t.Errorf("left %q, want %q", got, want)
	}
}

// What only looks like a place of ours is left alone.
func TestSweepTakesNothingElse(t *testing.T) {
	dir := tempDir(t)
	mk := func(name string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.Mkdir(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	mk("other", 0o700)
	mk(placePrefix+"open", 0o755)
	if err := os.WriteFile(mk(placePrefix+"full", 0o700)+"/precious", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("other", filepath.Join(dir, placePrefix+"link")); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(mk(placePrefix+"strange", 0o700), 54321, 0); err != nil {
			t.Fatal(err)
		}
	}
	before, err := filepath.Glob(dir + "/*")
	if err != nil {
		t.Fatal(err)
	}
	newPlace(t).Remove()
	after, err := filepath.Glob(dir + "/*")
	if err != nil || strings.Join(before, " ") != strings.Join(after, " ") {
		t.Errorf("before %q, after %q, %v", before, after, err)
	}
	if _, err := os.Stat(filepath.Join(dir, placePrefix+"full", "precious")); err != nil {
		t.Error(err)
	}
}

// Runs that begin at once do not take each other's places.
func TestManyPlacesAtOnce(t *testing.T) {
	dir := tempDir(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 25 {
				p, err := NewPlace("/bin/true", true)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := os.Stat(p.SSH()); err != nil {
					t.Error(err)
				}
				p.Remove()
			}
		})
	}
	wg.Wait()
	if left := runs(t, dir); left != "" {
		t.Errorf("left %q", left)
	}
}
