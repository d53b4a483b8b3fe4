package agent

import (
	"os"
	"strings"
	"testing"
)

// A principal with sftp_read alone lists and gets, and changes nothing.
func TestReadOnlySFTP(t *testing.T) {
	w := newWorld(t)
	w.readOnly = true
	local, remote := t.TempDir(), t.TempDir()
	writeFile(t, remote+"/file", randomBytes(300<<10))
	writeFile(t, local+"/mine", []byte("mine"))
	if out, ok := w.sftp(local, remote, "ls -l\ncd .\nls -l file\nget -p file got\ndf\npwd\n"); !ok || !strings.Contains(out, " file\n") {
		t.Errorf("reading: %s", out)
	}
	sameFiles(t, remote+"/file", local+"/got")
	for _, change := range []string{
		"put mine", "rm file", "mkdir d", "rmdir .", "rename file other", "ln file other", "ln -s file other", "chmod 600 file", "cp file other",
	} {
		if out, ok := w.sftp(local, remote, change+"\n"); ok || !strings.Contains(out, "ermission denied") {
			t.Errorf("%s: %s", change, out)
		}
	}
	left, err := os.ReadDir(remote)
	if err != nil || len(left) != 1 || left[0].Name() != "file" {
		t.Errorf("left %v, %v", left, err)
	}
	sameFiles(t, remote+"/file", local+"/got")
}

// Every request is let through, or refused with the status that clients understand, and the session goes on; its end says what was refused.
func TestReadOnlySFTPRequests(t *testing.T) {
	w := newWorld(t)
	w.readOnly = true
	dir := t.TempDir()
	writeFile(t, dir+"/file", []byte("text"))
	r := w.rawSFTP(dir)
	r.ask(fxpOpen, "file", uint32(fxfRead), uint32(0))
	kind, answer := r.answer()
	answer.uint32()
	handle := answer.string()
	if kind != fxpHandle {
		t.Fatalf("answer %d to OPEN", kind)
	}
	refused := 0
	for kind := byte(fxpOpen); kind <= 60; kind++ { // those of later versions too: LINK, BLOCK
		for _, fields := range [][]any{
			{"new", uint32(2), uint32(0)}, {"new", uint32(fxfRead | 8), uint32(0)}, {"file", uint32(16), uint32(0)}, {"file", uint32(0), uint32(0)},
		} {
			if change(kind, fxReader{data: append(append(fxWriter{}, 0, 0, 0, 4), "file"...)}) == "" && kind != fxpOpen {
				continue
			}
			r.ask(kind, fields...)
			refused++
			if kind, answer := r.answer(); kind != fxpStatus || answer.uint32() != r.id || answer.uint32() != fxPermissionDenied {
				t.Errorf("answer %d to request %d", kind, r.id)
			}
		}
	}
	for _, e := range extensions {
		r.ask(fxpExtended, e.name, "file", "file")
		kind, answer := r.answer()
		answer.uint32()
		denied := kind == fxpStatus && answer.uint32() == fxPermissionDenied
		switch e.name {
		case "statvfs@openssh.com", "fstatvfs@openssh.com", "limits@openssh.com", "expand-path@openssh.com", "home-directory":
			if denied {
				t.Errorf("%s is refused", e.name)
			}
			continue
		}
		if refused++; !denied {
			t.Errorf("%s is answered with %d", e.name, kind)
		}
	}
	r.ask(fxpRead, handle, uint64(0), uint32(100))
	if kind, answer := r.answer(); kind != 103 || answer.uint32() != r.id || answer.string() != "text" {
		t.Errorf("answer %d to READ", kind)
	}
	if err := r.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	exit, err := r.Wait(background(t))
	if want := (refusals{refused, "open for writing new"}).String(); err != nil || exit.Status != 0 || exit.Message != want {
		t.Errorf("got %+v, %v, want %q", exit, err, want)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left %v, %v", left, err)
	}
}

// What is not refused changes nothing: no request, however it is put together, is let through that is not known to read.
func FuzzChange(f *testing.F) {
	f.Add(byte(fxpOpen), []byte("\x00\x00\x00\x01f\x00\x00\x00\x01"))
	f.Add(byte(fxpExtended), []byte("\x00\x00\x00\x14posix-rename@openssh"))
	f.Add(byte(fxpWrite), []byte{})
	reads := map[byte]bool{fxpOpen: true, fxpClose: true, fxpRead: true, fxpLstat: true, fxpFstat: true, fxpOpendir: true, fxpReaddir: true,
		fxpRealpath: true, fxpStat: true, fxpReadlink: true, fxpExtended: true}
	f.Fuzz(func(t *testing.T, kind byte, data []byte) {
		if change(kind, fxReader{data: data}) == "" && !reads[kind] {
			t.Errorf("request %d is let through", kind)
		}
	})
}
