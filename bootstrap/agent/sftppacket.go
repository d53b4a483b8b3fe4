package agent

import (
	"encoding/binary"
	"errors"
)

// Packet types and statuses of SFTP version 3 (draft-ietf-secsh-filexfer-02) that front looks at.
const (
	fxpInit          = 1
	fxpVersion       = 2
	fxpOpen          = 3
	fxpClose         = 4
	fxpRead          = 5
	fxpWrite         = 6
	fxpLstat         = 7
	fxpFstat         = 8
	fxpSetstat       = 9
	fxpFsetstat      = 10
	fxpOpendir       = 11
	fxpReaddir       = 12
	fxpRemove        = 13
	fxpMkdir         = 14
	fxpRmdir         = 15
	fxpRealpath      = 16
	fxpStat          = 17
	fxpRename        = 18
	fxpReadlink      = 19
	fxpSymlink       = 20
	fxpStatus        = 101
	fxpHandle        = 102
	fxpName          = 104
	fxpExtended      = 200
	fxpExtendedReply = 201

	fxOK               = 0
	fxEOF              = 1
	fxNoSuchFile       = 2
	fxPermissionDenied = 3
	fxFailure          = 4
	fxBadMessage       = 5
	fxUnsupported      = 8

	attrSize        = 1
	attrUIDGID      = 2
	attrPermissions = 4
	attrTimes       = 8
	attrExtended    = 1 << 31
)

// maxSFTPPacket is the largest packet, bytes without the length field, that pkg/sftp and OpenSSH take.
const maxSFTPPacket = 256 << 10

var errSFTPPacket = errors.New("sftp: malformed packet")

// fxReader reads the fields of one packet; a field that is not there makes it bad, and zero.
type fxReader struct {
	data []byte
	bad  bool
}

func (r *fxReader) take(n int) []byte {
	if n > len(r.data) {
		r.bad, r.data = true, nil
		return nil
	}
	b := r.data[:n]
	r.data = r.data[n:]
	return b
}

func (r *fxReader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *fxReader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *fxReader) string() string {
	n := r.uint32()
	if uint64(n) > uint64(len(r.data)) {
		r.bad, r.data = true, nil
		return ""
	}
	return string(r.take(int(n)))
}

// attrs are the file attributes of version 3.
type attrs struct {
	flags        uint32
	size         uint64
	uid, gid     uint32
	mode         uint32
	atime, mtime uint32
}

func (r *fxReader) attrs() attrs {
	a := attrs{flags: r.uint32()}
	if a.flags&attrSize != 0 {
		a.size = r.uint64()
	}
	if a.flags&attrUIDGID != 0 {
		a.uid, a.gid = r.uint32(), r.uint32()
	}
	if a.flags&attrPermissions != 0 {
		a.mode = r.uint32()
	}
	if a.flags&attrTimes != 0 {
		a.atime, a.mtime = r.uint32(), r.uint32()
	}
	if a.flags&attrExtended != 0 {
		for n := r.uint32(); n > 0 && !r.bad; n-- {
			_, _ = r.string(), r.string()
		}
	}
	return a
}

// fxWriter builds one packet, length field included.
type fxWriter []byte

func newPacket(kind byte) fxWriter {
	return fxWriter{0, 0, 0, 0, kind}
}

func (w *fxWriter) uint32(n uint32) { *w = binary.BigEndian.AppendUint32(*w, n) }
func (w *fxWriter) uint64(n uint64) { *w = binary.BigEndian.AppendUint64(*w, n) }
func (w *fxWriter) string(s string) {
	w.uint32(uint32(len(s)))
	*w = append(*w, s...)
}

func (w *fxWriter) attrs(a attrs) {
	w.uint32(a.flags &^ attrExtended)
	if a.flags&attrSize != 0 {
		w.uint64(a.size)
	}
	if a.flags&attrUIDGID != 0 {
		w.uint32(a.uid)
		w.uint32(a.gid)
	}
	if a.flags&attrPermissions != 0 {
		w.uint32(a.mode)
	}
	if a.flags&attrTimes != 0 {
		w.uint32(a.atime)
		w.uint32(a.mtime)
	}
}

func (w fxWriter) finish() []byte {
	binary.BigEndian.PutUint32(w, uint32(len(w)-4))
	return w
}
