package fakessh_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"fakessh"
)

// asNobody has f run with the effective uid of nobody: what it connects to takes it for that.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("needs root, to be another account")
		}
		t.Skip("needs root, to be another account")
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	become := func(uid uintptr) {
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, ^uintptr(0), uid, ^uintptr(0)); errno != 0 {
			t.Fatal(errno)
		}
	}
	become(65534)
	defer become(0)
	f()
}

// Neither another account that may ask for things, nor one that may not.
func TestOtherAccountsDoNotAttach(t *testing.T) {
	for name, admit := range map[string]error{"a user": nil, "a stranger": errors.New("no user of this gateway")} {
		var hooks attachments
		path := hooks.serve(t, &fakessh.ControlServer{Tree: realTree(t, nil), Admit: func(fakessh.Peer) error { return admit }})
		if err := errors.Join(os.Chmod(filepath.Dir(path), 0o755), os.Chmod(path, 0o666)); err != nil {
			t.Fatal(err)
		}
		asNobody(t, func() {
			if _, told := greet(t, path); told != nil {
				t.Errorf("%s is told %v", name, told)
			}
		})
		began, _ := hooks.seen()
		if admit == nil && (len(began) != 1 || began[0].Err == nil || began[0].Peer.UID != 65534) || admit != nil && len(began) != 0 {
			t.Errorf("%s: told of %+v", name, began)
		}
	}
}
