package session

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

func TestDescriptorThatOnlyNamesAFIFOIsNotRead(t *testing.T) {
	fifo := t.TempDir() + "/fifo"
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	owner, err := unix.Open(fifo, unix.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(owner)
	if _, err := unix.Write(owner, []byte("secret")); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Open(fifo, unix.O_PATH, 0) // which whoever may enter the directory can do
	if err != nil {
		t.Fatal(err)
	}
	d := NewDescriptor(name)
	defer d.Close()
	b := make([]byte, 6)
	if n, err := d.Read(b); n > 0 || !errors.Is(err, unix.EBADF) {
		t.Errorf("read %q, %v", b[:max(n, 0)], err)
	}
}

func TestOnlyWhatCanBeWaitedForIsTaken(t *testing.T) {
	kinds := map[string]func() (int, error){
		"event counter": func() (int, error) { return unix.Eventfd(0, unix.EFD_CLOEXEC) },
		"timer":         func() (int, error) { return unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC) },
		"inotify":       func() (int, error) { return unix.InotifyInit1(unix.IN_CLOEXEC) },
		"epoll":         func() (int, error) { return unix.EpollCreate1(unix.EPOLL_CLOEXEC) },
	}
	for name, open := range kinds {
		fd, err := open()
		if err != nil {
			t.Fatal(name, err)
		}
		d := NewDescriptor(fd)
		if err := checkDescriptors([]*Descriptor{d}, 1); err == nil { // reading it would take a thread for ever
			t.Errorf("%s is taken", name)
		}
		d.Close()
	}
}
