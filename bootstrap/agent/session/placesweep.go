package session

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// A process that is killed leaves the place of its run. The next run of the same user removes it: one that nobody has locked, and whose program
// has ended too. While that lives its ssh has to be found, or the word would mean the system's.

const (
	placePrefix = "fakessh-run-"
	programName = "program" // a link whose text is the pid of the run's program

	maxSwept = 4096 // names that one sweep looks at
)

// lockedPlace makes an empty place that is locked.
func lockedPlace(base string) (*Place, error) {
	for {
		dir, err := os.MkdirTemp(base, placePrefix)
		if err != nil {
			return nil, err
		}
		lock, ours, err := lockDir(dir, syscall.LOCK_EX)
		switch {
		case errors.Is(err, fs.ErrNotExist): // a sweep has come first
		case err != nil:
			os.Remove(dir)
			return nil, err
		case ours:
			return &Place{dir: dir, lock: lock}, nil
		default:
			lock.Close() // the same, a moment later
		}
	}
}

// lockDir opens and locks dir, and says whether it is still there then, the running user's own and nobody else's. It follows no link.
func lockDir(dir string, how int) (lock *os.File, ours bool, err error) {
	lock, err = os.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, false, err
	}
	if err := syscall.Flock(int(lock.Fd()), how); err != nil {
		lock.Close()
		return nil, false, os.NewSyscallError("flock", err)
	}
	st, err := lock.Stat()
	if err != nil {
		lock.Close()
		return nil, false, err
	}
	now, err := os.Lstat(dir)
	sys, ok := st.Sys().(*syscall.Stat_t)
	return lock, err == nil && os.SameFile(st, now) && ok && int(sys.Uid) == os.Geteuid() && st.Mode().Perm() == 0o700, nil
}

// Began notes which program the place is for.
func (p *Place) Began(pid int) error {
	return os.Symlink(strconv.Itoa(pid), filepath.Join(p.dir, programName))
}

// sweep removes the places of dead runs in base.
func sweep(base string) {
	d, err := os.Open(base)
	if err != nil {
		return
	}
	defer d.Close()
	names, _ := d.Readdirnames(maxSwept)
	for _, name := range names {
		if strings.HasPrefix(name, placePrefix) {
			sweepPlace(filepath.Join(base, name))
		}
	}
}

// sweepPlace removes a place if it is a dead run's. It removes by name what a place consists of, for a directory may only look like one.
func sweepPlace(dir string) {
	lock, ours, err := lockDir(dir, syscall.LOCK_EX|syscall.LOCK_NB)
	if err != nil {
		return
	}
	defer lock.Close()
	if !ours || programLives(dir) {
		return
	}
	for _, name := range append(tools[:], socketName, agentName, programName) {
		_ = os.Remove(filepath.Join(dir, name))
	}
	_ = os.Remove(dir)
}

func programLives(dir string) bool {
	text, err := os.Readlink(filepath.Join(dir, programName))
	if err != nil {
		return false
	}
	pid, err := strconv.Atoi(text)
	return err == nil && pid > 0 && syscall.Kill(pid, 0) != syscall.ESRCH
}
