package methods

import (
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"fakessh/bootstrap"
)

// ownImage opens the own platform's executable so that another account can start it, although the directory it is in may be
// closed to that account, and its mode too. Nothing is stored.
func ownImage(images *bootstrap.Images) (*os.File, error) {
	f, err := images.Executable(bootstrap.Own())
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Mode().Perm()&0o005 == 0o005 {
		return f, nil
	}
	defer f.Close()
	if err != nil {
		return nil, err
	}
	return copyToMemory(f, info.Size())
}

// copyToMemory makes an executable for everybody of f's size bytes that has no name anywhere. f may share its offset with others.
func copyToMemory(f *os.File, size int64) (*os.File, error) {
	fd, err := unix.MemfdCreate("fakessh", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	mem := os.NewFile(uintptr(fd), f.Name())
	if _, err = io.Copy(mem, io.NewSectionReader(f, 0, size)); err == nil {
		err = mem.Chmod(0o555)
	}
	if err != nil {
		mem.Close()
		return nil, err
	}
	return mem, nil
}

// openPath is where a child finds an open file of ours before it has executed anything.
func openPath(f *os.File) string { return "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) }
