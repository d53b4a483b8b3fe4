package authz

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func openLog(t *testing.T, path string) *Log {
	t.Helper()
	l, err := OpenLog(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func appendAll(t *testing.T, l *Log, principals ...string) {
	t.Helper()
	for _, p := range principals {
		if err := l.Append(Record{Event: EventLogin, Principal: p, Allow: true}); err != nil {
			t.Fatal(err)
		}
	}
}

func verifyFile(t *testing.T, path string) (Head, error) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return Verify(bytes.NewReader(text))
}

func TestLogGoesOnAfterReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	for range 3 {
		l := openLog(t, path)
		appendAll(t, l, "a", "b")
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	head, err := verifyFile(t, path)
	if err != nil || head.Seq != 6 || head.Lost != 0 || head.Torn != 0 {
		t.Errorf("%+v, %v", head, err)
	}
	if st, _ := os.Stat(path); st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", st.Mode())
	}
}

func TestLogRecordsWhatWasDecided(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	d := NewDecider(mustPolicy(t, `@id("r") permit (principal, action == Action::"exec", resource);`), openLog(t, path))
	req := Request{Subject: Subject{Principal: "alice", KeyID: "SHA256:x"}, Action: Exec, Target: "web1", Account: "deploy",
		Command: "id \x1b[31m\xff", SourceAddr: "10.0.0.1:22", Conn: "c1", Time: now}
	d.Decide(req)
	req.Action, req.Command, req.DestHost, req.DestPort = Jump, "", "example.com", 22
	d.Decide(req)

	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines: %s", len(lines), text)
	}
	for i, want := range []string{
		`"seq":1,"time":"2026-03-02T12:00:00Z","event":"command","conn":"c1","principal":"alice","key":"SHA256:x","action":"exec","target":"web1","account":"deploy","command":"id \u001b[31m` + "\uFFFD" + `","source":"10.0.0.1:22","allow":true,"reason":"permitted by r","rules":["r"],"command_sha256":"`,
		`"seq":2,"time":"2026-03-02T12:00:00Z","event":"forward","conn":"c1","principal":"alice","key":"SHA256:x","action":"jump","target":"web1","account":"deploy","source":"10.0.0.1:22","dest_host":"example.com","dest_port":22,"allow":false,"reason":"no rule permits it","prev":"`,
	} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("line %d: %s\nwant %s", i+1, lines[i], want)
		}
	}
}

func TestVerifyFindsEveryChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	appendAll(t, openLog(t, path), "a", "b", "c", "d")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")[:4]
	join := func(ls ...string) string { return strings.Join(ls, "") }
	tests := []struct{ name, log, want string }{
		{"unchanged", string(text), ""},
		{"nothing", "", ""},
		{"a changed record", join(lines[0], strings.Replace(lines[1], `"b"`, `"x"`, 1), lines[2], lines[3]), "line 3: the line before it is not"},
		{"a record taken out", join(lines[0], lines[2], lines[3]), "line 2: number 3 follows 1"},
		{"the first taken out", join(lines[1:]...), "line 1: number 2 follows 0"},
		{"a record twice", join(lines[0], lines[1], lines[1]), "line 3: number 2 follows 2"},
		{"two exchanged", join(lines[0], lines[2], lines[1], lines[3]), "line 2: number 3 follows 1"},
		{"something put in", join(lines[0], "hello\n", lines[1]), "line 3: 5 bytes before it are no records"},
		{"something put at the end", join(lines[0], "hello\n"), "line 2: 5 bytes at the end are no records"},
		{"an empty line", join(lines[0], "\n", lines[1]), "line 2: not an audit record"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Verify(strings.NewReader(tt.log))
			var ce *ChainError
			if tt.want == "" && err != nil || tt.want != "" && (!errors.As(err, &ce) || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// A crash in the middle of a line leaves a torn one; the log owns up to it and goes on.
func TestLogMendsTornLine(t *testing.T) {
	for cut := 1; ; cut += 7 {
		path := filepath.Join(t.TempDir(), "audit.jsonl")
		l := openLog(t, path)
		appendAll(t, l, "a", "b")
		l.Close()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		second := bytes.IndexByte(text, '\n') + 1
		if second+cut > len(text) {
			break
		}
		if err := os.WriteFile(path, text[:second+cut], 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			l = openLog(t, path)
			appendAll(t, l, "c")
			l.Close()
		}
		if head, err := verifyFile(t, path); err != nil || head.Torn != int64(cut) && second+cut < len(text)-1 {
			t.Fatalf("cut %d: %+v, %v", cut, head, err)
		}
	}
}

func TestLogIsOfOneProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	openLog(t, path)
	if _, err := OpenLog(path); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("got %v", err)
	}
}

func TestOpenLogRefuses(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(dir, "other")
	if err := os.WriteFile(other, []byte("root:x:0:0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(other, link); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{other: "not an audit log", link: "symbolic link", dir: "is a directory", dir + "/a/b": "no such file"} {
		if _, err := OpenLog(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", path, err, want)
		}
	}
}

// fullDisk takes room bytes and then no more.
type fullDisk struct {
	bytes.Buffer
	room int
}

func (d *fullDisk) Write(p []byte) (int, error) {
	n := min(len(p), d.room)
	d.room -= n
	d.Buffer.Write(p[:n])
	if n < len(p) {
		return n, &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
	}
	return n, nil
}
func (d *fullDisk) Sync() error  { return nil }
func (d *fullDisk) Close() error { return nil }

func TestFullDiskLosesNothingSilently(t *testing.T) {
	for room := range 400 {
		disk := &fullDisk{room: room}
		l := &Log{path: "x", file: disk, prev: genesis}
		var lost uint64
		for range 3 {
			if l.Append(Record{Event: EventLogin, Principal: "a", Time: now}) != nil {
				lost++
			}
		}
		if lost == 0 {
			t.Fatalf("room for %d bytes held everything", room)
		}
		disk.room = 1 << 20
		if err := l.Append(Record{Event: EventLogin, Principal: "b", Time: now}); err != nil {
			t.Fatal(err)
		}
		head, err := Verify(&disk.Buffer)
		if err != nil || head.Lost != lost || l.Lost() != 0 {
			t.Fatalf("room %d: %+v, %v, lost %d", room, head, err, lost)
		}
	}
}

// What cannot be put on record does not happen.
func TestDeciderRefusesWithoutAudit(t *testing.T) {
	l := &Log{path: "x", file: &fullDisk{}, prev: genesis}
	d := NewDecider(mustPolicy(t, "permit (principal, action, resource);"), l)
	got := d.Decide(Request{Subject: Subject{Principal: "a"}, Action: Shell, Target: "t"})
	if got.Allow || got.Reason != "audit: write audit log x: no space left on device" {
		t.Errorf("got %+v", got)
	}
	l.Close()
	if got := d.Decide(Request{Subject: Subject{Principal: "a"}, Action: Shell, Target: "t"}); got.Allow {
		t.Errorf("after Close: %+v", got)
	}
}

func TestLogOfManyGoroutines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := openLog(t, path)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				l.Append(Record{Event: EventEnd})
			}
		})
	}
	wg.Wait()
	if head, err := verifyFile(t, path); err != nil || head.Seq != 400 {
		t.Errorf("%+v, %v", head, err)
	}
}

func TestHugeRecordStaysInItsLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := openLog(t, path)
	huge := strings.Repeat("<\x01", 1<<20)
	rec := Record{Event: EventCommand, Conn: huge, Principal: huge, Key: huge, Target: huge, Account: huge, Command: huge,
		Source: huge, DestHost: huge, Reason: huge, Signal: huge, Rules: strings.SplitAfterN(huge, "<", 1000)}
	if err := l.Append(rec); err != nil {
		t.Fatal(err)
	}
	appendAll(t, l, "a")
	l.Close()
	if head, err := verifyFile(t, path); err != nil || head.Seq != 2 {
		t.Errorf("%+v, %v", head, err)
	}
	appendAll(t, openLog(t, path), "b")
}

func FuzzVerify(f *testing.F) {
	disk := &fullDisk{room: 1 << 20}
	l := &Log{file: disk, prev: genesis}
	l.Append(Record{Event: EventLogin, Principal: "a"})
	l.Append(Record{Event: EventEnd})
	f.Add(disk.Bytes())
	f.Add([]byte("{\"seq\":1}\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		head, err := Verify(bytes.NewReader(text))
		if err != nil {
			return
		}
		if head.Seq == 0 && len(text) > 0 {
			t.Fatalf("accepts %q as an empty log", text)
		}
		if !json.Valid([]byte(lastJSON(text))) {
			t.Fatalf("accepts %q", text)
		}
	})
}

func lastJSON(text []byte) string {
	if len(text) == 0 {
		return "{}"
	}
	s := strings.TrimSuffix(string(text), "\n")
	return s[strings.LastIndexByte(s, '\n')+1:]
}
