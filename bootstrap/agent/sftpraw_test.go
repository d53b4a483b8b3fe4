package agent

import (
	"encoding/binary"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"

	"fakessh/bootstrap/agent/session"
)

// rawSFTP speaks SFTP packet by packet, as no ordinary client would.
type rawSFTP struct {
	t *testing.T
	*session.Client
	id uint32
}

func (w *world) rawSFTP(dir string) *rawSFTP {
	w.t.Helper()
	r := &rawSFTP{t: w.t, Client: w.start(session.Spec{Kind: session.Subsystem, Command: "sftp", Dir: dir, ReadOnly: w.readOnly})}
	init := newPacket(fxpInit)
	init.uint32(3)
	r.write(init.finish())
	kind, answer := r.answer()
	if version := answer.uint32(); kind != fxpVersion || version != 3 {
		w.t.Fatalf("answer %d to INIT, version %d", kind, version)
	}
	names := map[string]string{}
	for len(answer.data) > 0 && !answer.bad {
		name := answer.string()
		names[name] = answer.string()
	}
	for _, e := range extensions {
		if names[e.name] != e.version {
			w.t.Errorf("extension %s is told as %q", e.name, names[e.name])
		}
	}
	return r
}

func (r *rawSFTP) write(b []byte) {
	r.t.Helper()
	if _, err := r.Write(b); err != nil {
		r.t.Fatal(err)
	}
}

// ask sends a request; fields are string, uint32, uint64, or raw bytes.
func (r *rawSFTP) ask(kind byte, fields ...any) {
	r.t.Helper()
	r.id++
	w := newPacket(kind)
	w.uint32(r.id)
	for _, f := range fields {
		switch f := f.(type) {
		case string:
			w.string(f)
		case uint32:
			w.uint32(f)
		case uint64:
			w.uint64(f)
		}
	}
	r.write(w.finish())
}

func (r *rawSFTP) answer() (byte, *fxReader) {
	r.t.Helper()
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		r.t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint32(head[:])-1)
	if _, err := io.ReadFull(r, body); err != nil {
		r.t.Fatal(err)
	}
	return head[4], &fxReader{data: body}
}

// TestSFTPPipelined: requests sent without waiting take effect, and are answered, in order.
func TestSFTPPipelined(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	r := w.rawSFTP(dir)
	const rounds = 50
	for i := range rounds {
		name := "f" + strings.Repeat("x", i)
		h := strconv.Itoa(i + 1)
		r.ask(fxpOpen, name, uint32(2|8|16), uint32(0)) // WRITE CREAT TRUNC
		for off := range 4 {
			r.ask(fxpWrite, h, uint64(off*5), "hello")
		}
		r.ask(10, h, uint32(attrPermissions), uint32(0o600)) // FSETSTAT
		r.ask(fxpExtended, "fsync@openssh.com", h)
		r.ask(fxpClose, h)
		r.ask(fxpRename, name, "done")
		r.ask(fxpStat, "done")
		r.ask(fxpRemove, "done")
	}
	for id := uint32(1); id <= r.id; id++ {
		kind, answer := r.answer()
		if got := answer.uint32(); got != id {
			t.Fatalf("answer to %d, want %d", got, id)
		}
		if kind == fxpStatus {
			if code := answer.uint32(); code != fxOK {
				t.Fatalf("request %d of a round: status %d, %s", id%11, code, answer.string())
			}
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("%d files are left, %v", len(left), err)
	}
}

// TestSFTPManyReadsAhead: a client that asks for far more than it reads gets it all, in the end.
func TestSFTPManyReadsAhead(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	data := randomBytes(8 << 20)
	writeFile(t, dir+"/big", data)
	r := w.rawSFTP(dir)
	r.ask(fxpOpen, "big", uint32(1), uint32(0))
	if kind, _ := r.answer(); kind != fxpHandle {
		t.Fatalf("answer %d to OPEN", kind)
	}
	const step = 200_000
	for off := 0; off < len(data); off += step {
		r.ask(fxpRead, "1", uint64(off), uint32(step))
	}
	for off := 0; off < len(data); off += step {
		kind, answer := r.answer()
		answer.uint32()
		if got, want := answer.string(), string(data[off:min(off+step, len(data))]); kind != 103 || got != want {
			t.Fatalf("at %d: kind %d, %d bytes", off, kind, len(got))
		}
	}
}

func TestSFTPExtensions(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	writeFile(t, dir+"/f", []byte("0123456789"))
	r := w.rawSFTP(dir)
	expect := func(want byte) *fxReader {
		t.Helper()
		kind, answer := r.answer()
		answer.uint32()
		if kind != want {
			t.Fatalf("answer %d (status %d), want %d", kind, answer.uint32(), want)
		}
		return answer
	}
	status := func(want uint32) {
		t.Helper()
		if code := expect(fxpStatus).uint32(); code != want {
			t.Errorf("status %d, want %d", code, want)
		}
	}
	r.ask(fxpExtended, "limits@openssh.com")
	if a := expect(fxpExtendedReply); a.uint64() != maxSFTPPacket || a.uint64() != sftpPayload || a.uint64() != sftpPayload {
		t.Error("limits")
	}
	r.ask(fxpExtended, "no-such@extension")
	status(fxUnsupported)
	r.ask(fxpOpen, "f", uint32(1), uint32(0))
	expect(fxpHandle)
	r.ask(fxpOpen, "g", uint32(2|8), uint32(0))
	expect(fxpHandle)
	r.ask(fxpExtended, "copy-data", "1", uint64(2), uint64(5), "2", uint64(1))
	status(fxOK)
	if got, _ := os.ReadFile(dir + "/g"); string(got) != "\x0023456" {
		t.Errorf("copied %q", got)
	}
	r.ask(fxpExtended, "copy-data", "1", uint64(0), uint64(0), "1", uint64(0))
	status(fxBadMessage)
	r.ask(fxpOpen, "g", uint32(1), uint32(0))
	expect(fxpHandle)
	r.ask(fxpExtended, "copy-data", "3", uint64(0), uint64(0), "2", uint64(6)) // to its own end, which would never come
	status(fxBadMessage)
	r.ask(fxpExtended, "fstatvfs@openssh.com", "1")
	if a := expect(fxpExtendedReply); a.uint64() == 0 || a.bad {
		t.Error("fstatvfs")
	}
	r.ask(fxpExtended, "fsync@openssh.com", "9")
	status(fxNoSuchFile)
	if err := os.Rename(dir+"/f", dir+"/h"); err != nil {
		t.Fatal(err)
	}
	r.ask(fxpExtended, "fsync@openssh.com", "1")
	status(fxFailure)
	r.ask(fxpExtended, "home-directory", "")
	if a := expect(fxpName); a.uint32() != 1 || a.string() != w.agent.account().Home {
		t.Error("home-directory")
	}
	r.ask(fxpExtended, "users-groups-by-id@openssh.com", "\x00\x00\x00\x00\xff\xff\xff\xf0", "\x00\x00\x00\x00")
	if a := expect(fxpExtendedReply); a.string() != "\x00\x00\x00\x04root\x00\x00\x00\x00" || a.string() != "\x00\x00\x00\x04root" {
		t.Error("users-groups-by-id")
	}
	r.ask(fxpReaddir, "1")
	status(fxFailure)
	r.ask(fxpOpendir, "f-absent")
	status(fxNoSuchFile)
	r.ask(fxpOpendir, ".")
	listing := expect(fxpHandle)
	r.ask(fxpReaddir, listing.string())
	a := expect(fxpName)
	if n := a.uint32(); n != 4 {
		t.Errorf("%d names", n)
	}
	for _, want := range []string{".", ".."} {
		name, long := a.string(), a.string()
		if a.attrs(); name != want || long[0] != 'd' || !strings.HasSuffix(long, " "+want) {
			t.Errorf("%q, %q, want %q", name, long, want)
		}
	}
}

func TestSFTPMalformedPacketsEndTheSession(t *testing.T) {
	for name, packet := range map[string][]byte{
		"empty":       {0, 0, 0, 0},
		"too long":    {0xff, 0, 0, 0, fxpStat},
		"no id":       {0, 0, 0, 2, fxpRemove, 1},
		"short name":  {0, 0, 0, 13, fxpStat, 0, 0, 0, 1, 0, 0, 1, 0, 'x', 'y', 'z', 'a'},
		"cut ids":     append([]byte{0, 0, 0, 48, fxpExtended, 0, 0, 0, 1, 0, 0, 0, 30}, "users-groups-by-id@openssh.com\x00\x00\x00\x01x\x00\x00\x00\x00"...),
		"short attrs": {0, 0, 0, 14, fxpMkdir, 0, 0, 0, 1, 0, 0, 0, 1, 'x', 0, 0, 0, attrPermissions},
		"unknown":     {0, 0, 0, 5, 99, 0, 0, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := newWorld(t).rawSFTP(t.TempDir())
			r.write(packet)
			_ = r.CloseWrite()
			_, err := io.Copy(io.Discard, r)
			exit, waitErr := r.Wait(background(t))
			if err == nil && waitErr == nil && exit.Status == 0 {
				t.Error("the session goes on")
			}
		})
	}
}

func TestSFTPCutInMidPacket(t *testing.T) {
	w := newWorld(t)
	r := w.rawSFTP(t.TempDir())
	r.write([]byte{0, 0, 1, 0, fxpStat, 0})
	_ = r.CloseWrite()
	if exit, err := r.Wait(background(t)); err != nil || exit.Status != 255 {
		t.Errorf("exit %+v, %v", exit, err)
	}
}

func FuzzSFTPFields(f *testing.F) {
	w := newPacket(fxpSetstat)
	w.string("name")
	w.attrs(attrs{flags: 15, size: 1, uid: 2, mode: 0o644, mtime: 3})
	f.Add([]byte(w[5:]))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0, 0, 0, 0, 0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := &fxReader{data: data}
		name := r.string()
		a := r.attrs()
		if r.bad {
			return
		}
		if len(name) > len(data) {
			t.Fatalf("a name of %d bytes in %d", len(name), len(data))
		}
		back := fxWriter(nil)
		back.attrs(a)
		if again := (&fxReader{data: back}).attrs(); again.flags != a.flags&^attrExtended || again.size != a.size || again.mode != a.mode {
			t.Errorf("%+v became %+v", a, again)
		}
	})
}

// TestSFTPOpensABoundedNumberOfFiles: the descriptors of an agent are all its sessions'.
func TestSFTPOpensABoundedNumberOfFiles(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	writeFile(t, dir+"/f", nil)
	r := w.rawSFTP(dir)
	open := func() byte {
		r.ask(fxpOpen, "f", uint32(1), uint32(0))
		kind, _ := r.answer()
		return kind
	}
	for i := range maxFiles {
		if kind := open(); kind != fxpHandle {
			t.Fatalf("file %d: answer %d", i, kind)
		}
	}
	if kind := open(); kind != fxpStatus {
		t.Errorf("one too many: answer %d", kind)
	}
	r.ask(fxpClose, "1")
	if kind, _ := r.answer(); kind != fxpStatus {
		t.Errorf("close: answer %d", kind)
	}
	if kind := open(); kind != fxpHandle {
		t.Errorf("after a close: answer %d", kind)
	}
}
