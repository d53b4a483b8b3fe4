package agent

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path"
	"strings"
	"sync"
	"syscall"

	"fakessh/router"
)

// sftpFront stands between the stream and pkg/sftp's server.
//
//	stream ─► Read ─► data requests, with paths made absolute ─► server
//	              └─► everything about names, and extensions: answered here
//	stream ◄─ Write ◄── whole packets ◄───────────────────────── server
//
// READ and WRITE overlap with each other. Every other request has its turn alone, so that pipelining clients see
// their requests take effect in order.
// Read is called by the server's reading goroutine, Write by its sending one.
type sftpFront struct {
	stream *router.Stream
	dir    string // what relative paths begin at
	// readOnly: requests that change something are refused.
	readOnly bool
	account  func(name string) (account, bool)

	// Of Read alone.
	ready []byte // bytes of a packet on its way to the server
	pass  int    // and how many more follow straight from the stream
	buf   []byte
	dirs  map[string]*directory
	last  uint64 // number of the last directory handle
	// refused may be looked at when the server has ended.
	refused refusals

	// Of Write alone.
	out []byte // a packet on its way to the client

	mu      sync.Mutex
	settled sync.Cond // an answer has been sent
	pending int       // requests that have not been answered yet
	alone   bool      // one of them, which is then the only one, must not overlap
	opening map[uint32]string
	files   map[string]openFile // all that the server has
}

// openFile is a file that the server has open: its handle is known to us by name only.
type openFile struct {
	path string
	info os.FileInfo // nil: it had that name no more
}

// maxFiles bounds the files that one session has open: an agent's descriptors are for all its sessions. As many has a server of OpenSSH's.
const maxFiles = 1000

// maxPending bounds the requests that the server works on at once, and so its memory: a slow
// client's further requests wait in the stream.
const maxPending = 16

func newSFTPFront(s *router.Stream, dir string, account func(name string) (account, bool)) *sftpFront {
	f := &sftpFront{
		stream: s, dir: dir, account: account,
		dirs:    make(map[string]*directory),
		opening: make(map[uint32]string),
		files:   make(map[string]openFile),
	}
	f.settled.L = &f.mu
	return f
}

// Close ends the session: the server found it cannot go on.
func (f *sftpFront) Close() error {
	f.stream.Reset(errSFTPPacket)
	return nil
}

// Read gives the server the requests that are its own.
func (f *sftpFront) Read(p []byte) (int, error) {
	for {
		if len(f.ready) > 0 {
			n := copy(p, f.ready)
			f.ready = f.ready[n:]
			return n, nil
		}
		if f.pass > 0 {
			n, err := f.stream.Read(p[:min(len(p), f.pass)])
			f.pass -= n
			if n > 0 {
				return n, nil
			}
			return 0, midPacket(err)
		}
		if err := f.next(); err != nil {
			f.closeDirs()
			return 0, err
		}
	}
}

// midPacket: an EOF inside of a packet is not an orderly end.
func midPacket(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// next takes one request from the stream: it answers it, or makes it ready for the server.
func (f *sftpFront) next() error {
	var head [5]byte
	if _, err := io.ReadFull(f.stream, head[:]); err != nil {
		return err
	}
	size, kind := int(binary.BigEndian.Uint32(head[:])), head[4]
	if size < 1 || size > maxSFTPPacket {
		return errSFTPPacket
	}
	if kind == fxpWrite && !f.readOnly {
		f.admit(false)
		f.ready, f.pass = append(f.buf[:0], head[:]...), size-1
		f.buf = f.ready
		return nil
	}
	packet := append(f.buf[:0], head[:]...)
	packet = append(packet, make([]byte, size-1)...)
	f.buf = packet
	if _, err := io.ReadFull(f.stream, packet[5:]); err != nil {
		return midPacket(err)
	}
	if kind == fxpRead {
		f.admit(false)
		f.ready = packet
		return nil
	}
	f.admit(true)
	answer, err := f.dispatch(kind, packet)
	if err != nil || answer == nil {
		return err
	}
	f.settle()
	_, err = f.stream.Write(answer)
	return err
}

// admit counts a request in: when nothing else is pending if it has to be alone, else when there is room.
func (f *sftpFront) admit(alone bool) {
	limit := maxPending
	if alone {
		limit = 1
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.alone || f.pending >= limit {
		f.settled.Wait()
	}
	f.pending++
	f.alone = alone
}

func (f *sftpFront) settle() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pending--
	f.alone = false
	f.settled.Signal()
}

// Write takes the server's answers, header and payload in turn, and sends whole packets.
// The server ignores its errors: a lost stream ends Read.
func (f *sftpFront) Write(p []byte) (int, error) {
	f.out = append(f.out, p...)
	for len(f.out) >= 5 {
		size := 4 + int(binary.BigEndian.Uint32(f.out))
		if len(f.out) < size {
			break
		}
		_, err := f.stream.Write(f.inspect(f.out[:size]))
		f.out = append(f.out[:0], f.out[size:]...)
		f.settle()
		if err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// inspect notes what the server's answer tells about handles, and puts our extensions into the version.
func (f *sftpFront) inspect(packet []byte) []byte {
	switch packet[4] {
	case fxpVersion:
		return versionPacket()
	case fxpHandle, fxpStatus:
		r := fxReader{data: packet[5:]}
		id, handle := r.uint32(), r.string()
		f.opened(id, packet[4] == fxpHandle, handle)
	}
	return packet
}

// opened notes the outcome of the OPEN with this id, if it was one.
func (f *sftpFront) opened(id uint32, ok bool, handle string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	name, asked := f.opening[id]
	if !asked {
		return
	}
	delete(f.opening, id)
	if !ok {
		return
	}
	info, _ := os.Stat(name)
	f.files[handle] = openFile{name, info}
}

// abs is a client's path as the kernel shall see it. It is not cleaned: "link/.." means what it means to the kernel.
func (f *sftpFront) abs(name string) string {
	switch {
	case strings.HasPrefix(name, "/"):
		return name
	case name == "" || name == ".":
		return f.dir
	}
	return strings.TrimSuffix(f.dir, "/") + "/" + name
}

// dispatch answers a request, or returns nil when it is the server's; that gets it with its path made absolute.
func (f *sftpFront) dispatch(kind byte, packet []byte) ([]byte, error) {
	r := &fxReader{data: packet[5:]}
	if kind == fxpInit {
		f.ready = packet
		return nil, nil
	}
	id := r.uint32()
	answer := f.refuse(kind, id, *r)
	if answer != nil {
		return answer, nil
	}
	switch kind {
	case fxpOpen, fxpStat, fxpLstat, fxpSetstat, fxpReadlink:
		answer = f.forward(kind, id, r)
	case fxpClose:
		answer = f.closeHandle(id, r.string(), packet)
	case fxpExtended:
		answer = f.extended(id, r)
	default:
		if op, ok := nameOps[kind]; ok {
			answer = op(f, id, r)
		} else {
			f.ready = packet
		}
	}
	if r.bad {
		f.ready = nil
		return nil, errSFTPPacket
	}
	return answer, nil
}

// forward makes a request about one path ready for the server.
func (f *sftpFront) forward(kind byte, id uint32, r *fxReader) []byte {
	name := f.abs(r.string())
	if kind == fxpOpen {
		if answer := f.refuseOpen(id, name); answer != nil {
			return answer
		}
		f.mu.Lock()
		full := len(f.files) >= maxFiles
		if !full {
			f.opening[id] = name
		}
		f.mu.Unlock()
		if full {
			return statusOf(id, syscall.EMFILE)
		}
	}
	w := newPacket(kind)
	w.uint32(id)
	w.string(name)
	w = append(w, r.data...)
	f.ready = w.finish()
	return nil
}

// refuseOpen refuses what would block in open(2) until somebody else comes: nothing could end that wait.
func (f *sftpFront) refuseOpen(id uint32, name string) []byte {
	if st, err := os.Stat(name); err == nil && st.Mode()&os.ModeNamedPipe != 0 {
		return statusPacket(id, fxFailure, path.Base(name)+": is a named pipe")
	}
	return nil
}

// closeHandle closes a directory of ours, or leaves a file to the server.
func (f *sftpFront) closeHandle(id uint32, handle string, packet []byte) []byte {
	if d, ok := f.dirs[handle]; ok {
		delete(f.dirs, handle)
		return statusOf(id, d.close())
	}
	f.mu.Lock()
	delete(f.files, handle)
	f.mu.Unlock()
	f.ready = packet
	return nil
}

func (f *sftpFront) closeDirs() {
	for handle, d := range f.dirs {
		delete(f.dirs, handle)
		_ = d.close()
	}
}
