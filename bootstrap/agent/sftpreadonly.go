package agent

import "strconv"

// A session of a principal that may read files and not change them (session.Spec.ReadOnly) has every other request refused here, as sftp-server -R
// does. What is let through is listed, so that nothing new is by mistake; pkg/sftp is told too.

// fxfRead is the one flag of OPEN that changes nothing.
const fxfRead = 1

// changing are the requests that change something, for the record.
var changing = map[byte]string{
	fxpOpen: "open for writing", fxpWrite: "write", fxpSetstat: "setstat", fxpFsetstat: "fsetstat", fxpRemove: "remove", fxpMkdir: "mkdir",
	fxpRmdir: "rmdir", fxpRename: "rename", fxpSymlink: "symlink", fxpExtended: "extended",
}

// change says what a request would change, with the path or the handle that it names first; "" when it only reads.
func change(kind byte, r fxReader) string {
	name := r.string()
	switch kind {
	case fxpClose, fxpRead, fxpLstat, fxpFstat, fxpOpendir, fxpReaddir, fxpRealpath, fxpStat, fxpReadlink:
		return ""
	case fxpOpen:
		if r.uint32() == fxfRead {
			return ""
		}
	case fxpExtended:
		switch name {
		case "statvfs@openssh.com", "fstatvfs@openssh.com", "limits@openssh.com", "expand-path@openssh.com", "home-directory":
			return ""
		}
		return name + " " + r.string()
	}
	what, known := changing[kind]
	if !known {
		what = "request " + strconv.Itoa(int(kind))
	}
	return what + " " + name
}

// refusals counts what was refused.
type refusals struct {
	n     int
	first string
}

// refuse answers a request that would change something; nil when it would not, or may.
func (f *sftpFront) refuse(kind byte, id uint32, r fxReader) []byte {
	if !f.readOnly {
		return nil
	}
	what := change(kind, r)
	if what == "" {
		return nil
	}
	if f.refused.n++; f.refused.n == 1 {
		f.refused.first = what
	}
	return statusPacket(id, fxPermissionDenied, "Permission denied: this session only reads")
}

// String is for the audit log; "" when nothing was refused.
func (r refusals) String() string {
	switch r.n {
	case 0:
		return ""
	case 1:
		return "refused as read-only: " + r.first
	}
	return "refused as read-only: " + r.first + ", and " + strconv.Itoa(r.n-1) + " more"
}
