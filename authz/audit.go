package authz

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// maxLine bounds one line of the log, bytes. The largest record (every field full, each byte escaped to six) is smaller.
const maxLine = 4 << 20

// genesis is what the first record has for the hash of the line before it.
var genesis = strings.Repeat("0", 2*sha256.Size)

// Log is the audit log: one JSON object per line, each with the SHA-256 of the line before, so that a line which is
// changed, taken out or put in shows (Verify). Append returns when the kernel has the line: nothing waits in a queue
// that could be lost. Safe for concurrent use.
type Log struct {
	path string

	mu   sync.Mutex
	file appender
	seq  uint64
	prev string
	// What the next record has to mend: the last line lacks its newline; bytes of torn lines; records not written.
	unended bool
	torn    int64
	lost    uint64
}

// appender is the part of *os.File that is used after opening.
type appender interface {
	io.Writer
	io.Closer
	Sync() error
}

// OpenLog opens or makes the log at path, with mode 0600, and goes on with its chain. Only one process may have it open.
func OpenLog(path string) (*Log, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open audit log %s: %w", path, bare(err))
	}
	l := &Log{path: path, file: f, prev: genesis}
	if err := l.takeOver(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("open audit log %s: %w", path, err)
	}
	return l, nil
}

func (l *Log) takeOver(f *os.File) error {
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return errors.New("in use by another process")
	}
	st, err := f.Stat()
	if err != nil {
		return bare(err)
	}
	if !st.Mode().IsRegular() {
		return errors.New("not a regular file")
	}
	if st.Mode().Perm() != 0o600 {
		if err := f.Chmod(0o600); err != nil {
			return bare(err)
		}
	}
	return l.findEnd(f, st.Size())
}

// findEnd sets the chain's head from the last lines of the file.
func (l *Log) findEnd(f io.ReaderAt, size int64) error {
	from := max(0, size-2*maxLine)
	tail := make([]byte, size-from)
	if _, err := f.ReadAt(tail, from); err != nil && err != io.EOF {
		return bare(err)
	}
	end := bytes.LastIndexByte(tail, '\n') + 1
	if err := l.findLast(tail[:end]); err != nil {
		return err
	}
	fragment := tail[end:]
	l.unended = len(fragment) > 0
	if rec, err := parseRecord(fragment); err == nil && rec.Prev == l.prev {
		l.seq, l.prev = rec.Seq, lineHash(fragment)
	} else {
		l.torn += int64(len(fragment))
	}
	return nil
}

// findLast finds the last record in whole lines, going back over torn ones.
func (l *Log) findLast(text []byte) error {
	for len(text) > 0 {
		text = text[:len(text)-1] // its newline
		start := bytes.LastIndexByte(text, '\n') + 1
		line := text[start:]
		if rec, err := parseRecord(line); err == nil {
			l.seq, l.prev = rec.Seq, lineHash(line)
			return nil
		}
		l.torn += int64(len(line))
		text = text[:start]
	}
	if l.torn > 0 {
		return errors.New("not an audit log")
	}
	return nil
}

// ErrLogClosed is what Append returns after Close.
var ErrLogClosed = errors.New("authz: audit log closed")

// Append writes one record. When it fails the record is counted; the count is part of the log as soon as it can be written again.
func (l *Log) Append(rec Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return ErrLogClosed
	}
	if err := l.mend(); err != nil {
		l.lost++
		return err
	}
	if err := l.write(rec); err != nil {
		l.lost++
		return err
	}
	return nil
}

// mend writes the resume record that torn lines and lost records call for.
func (l *Log) mend() error {
	if l.torn == 0 && l.lost == 0 {
		return nil
	}
	torn, lost := l.torn, l.lost
	if err := l.write(Record{Event: EventResume, Torn: torn, Lost: lost, Allow: true}); err != nil {
		return err
	}
	l.torn -= torn
	l.lost -= lost
	return nil
}

// write puts rec at the end of the chain, in one call.
func (l *Log) write(rec Record) error {
	line, err := l.encode(rec)
	if err != nil {
		return fmt.Errorf("encode audit record: %w", err)
	}
	start := 0
	var buf []byte
	if l.unended {
		buf, start = append(buf, '\n'), 1
	}
	buf = append(append(buf, line...), '\n')
	n, err := l.file.Write(buf)
	if n > 0 {
		l.account(line, n-start)
	}
	if err != nil && n-start < len(line) {
		return fmt.Errorf("write audit log %s: %w", l.path, bare(err))
	}
	return nil
}

// account notes that n bytes of line, and its newline if n is one more, are in the file.
func (l *Log) account(line []byte, n int) {
	l.unended = n > 0 && n <= len(line)
	if n >= len(line) {
		l.seq++
		l.prev = lineHash(line)
		return
	}
	l.torn += int64(n)
}

func (l *Log) encode(rec Record) ([]byte, error) {
	rec.bounded()
	if rec.Time.IsZero() {
		rec.Time = time.Now()
	}
	rec.Time = rec.Time.UTC()
	rec.Seq, rec.Prev = l.seq+1, l.prev
	return json.Marshal(rec)
}

// Lost is how many records could not be written since the last that could.
func (l *Log) Lost() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// Close flushes the log to the disk and closes it. Idempotent.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	f := l.file
	l.file = nil
	return errors.Join(f.Sync(), f.Close())
}

func lineHash(line []byte) string {
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:])
}

func parseRecord(line []byte) (Record, error) {
	var rec Record
	if err := json.Unmarshal(line, &rec); err != nil {
		return rec, errors.New("not an audit record")
	}
	if rec.Event == "" || rec.Seq == 0 || len(rec.Prev) != len(genesis) {
		return rec, errors.New("not an audit record")
	}
	return rec, nil
}
