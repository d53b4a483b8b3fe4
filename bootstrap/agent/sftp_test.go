package agent

import (
	"bytes"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// sftp runs the real sftp with a batch of commands in local, against an agent whose directory is remote.
func (w *world) sftp(local, remote, batch string) (output string, ok bool) {
	w.t.Helper()
	w.dir = remote
	return w.openssh(local, batch, "sftp", "-q", "-b", "-", "-D", os.Args[0], "fake")
}

func (w *world) openssh(dir, stdin, name string, args ...string) (output string, ok bool) {
	w.t.Helper()
	cmd := exec.CommandContext(background(w.t), tool(w.t, name), args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), bridgeEnv+"="+w.sftpSocket(), "LC_ALL=C", "GORACE=atexit_sleep_ms=0")
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

func writeFile(t testing.TB, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func sameFiles(t testing.TB, a, b string) {
	t.Helper()
	x, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(x, y) {
		t.Errorf("%s (%d bytes) and %s (%d bytes) differ", a, len(x), b, len(y))
	}
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

func TestSFTPTransfers(t *testing.T) {
	w := newWorld(t)
	local, remote := t.TempDir(), t.TempDir()
	data := randomBytes(3<<20 + 17)
	writeFile(t, local+"/big", data)
	writeFile(t, local+"/empty", nil)
	writeFile(t, remote+"/resume", data[:1<<20])
	writeFile(t, local+"/half", data[:1<<20+5])
	out, ok := w.sftp(local, remote, `
put big up
put empty
put -f big synced
get up down
reput big resume
get up half2
reget up half
put -p big kept
`)
	if !ok {
		t.Fatal(out)
	}
	for _, pair := range [][2]string{
		{local + "/big", remote + "/up"}, {local + "/empty", remote + "/empty"}, {local + "/big", remote + "/synced"},
		{local + "/big", local + "/down"}, {local + "/big", remote + "/resume"}, {local + "/big", local + "/half"}, {local + "/big", remote + "/kept"},
	} {
		sameFiles(t, pair[0], pair[1])
	}
}

func TestSFTPNames(t *testing.T) {
	w := newWorld(t)
	local, remote := t.TempDir(), t.TempDir()
	writeFile(t, remote+"/a", []byte("a"))
	writeFile(t, remote+"/b", []byte("b"))
	out, ok := w.sftp(local, remote, `
mkdir d
mkdir d/e
rename a d/a
ln -s a d/rel
ln -s ../b d/up
ln d/a hard
chmod 600 d/a
chmod -h 600 d/a
rename b d/a
cp d/a copy
rmdir d/e
ls -la d
df
pwd
cd d
pwd
`)
	if !ok {
		t.Fatal(out)
	}
	for link, want := range map[string]string{"/d/rel": "a", "/d/up": "../b"} {
		if got, err := os.Readlink(remote + link); err != nil || got != want {
			t.Errorf("%s is %q, %v; want %q", link, got, err, want)
		}
	}
	for name, want := range map[string]string{"/d/a": "b", "/hard": "a", "/copy": "b"} {
		if got, err := os.ReadFile(remote + name); err != nil || string(got) != want {
			t.Errorf("%s holds %q, %v; want %q", name, got, err, want)
		}
	}
	if _, err := os.Stat(remote + "/d/e"); err == nil {
		t.Error("d/e is still there")
	}
	for _, want := range []string{"lrwxrwxrwx", "-rw-r--r--", "Remote working directory: " + remote + "\n", "Remote working directory: " + remote + "/d\n", "%Capacity"} {
		if !strings.Contains(out, want) {
			t.Errorf("output lacks %q:\n%s", want, out)
		}
	}
}

func TestSFTPRefusals(t *testing.T) {
	w := newWorld(t)
	local, remote := t.TempDir(), t.TempDir()
	writeFile(t, remote+"/file", []byte("x"))
	writeFile(t, remote+"/other", []byte("y"))
	if err := os.Mkdir(remote+"/dir", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(remote+"/fifo", 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ command, want string }{
		{"rm dir", "Failure"},
		{"rmdir file", ""},
		{"get absent", "not found"},
		{"rename -l file other", "Failure"},
		{"get fifo", "not a regular file"},
		{"mkdir dir", "Failure"},
		{"put /dev/null /proc/nope", ""},
		{"ls absent", "not found"},
		{"ln -s x file", "Failure"},
		{"chmod 600 absent", "No such file"},
	} {
		out, ok := w.sftp(local, remote, tc.command+"\n")
		if ok || !strings.Contains(out, tc.want) {
			t.Errorf("%s: succeeded %v, output %q, want %q", tc.command, ok, out, tc.want)
		}
	}
	for name, want := range map[string]string{"/file": "x", "/other": "y"} {
		if got, err := os.ReadFile(remote + name); err != nil || string(got) != want {
			t.Errorf("%s holds %q, %v", name, got, err)
		}
	}
	if st, err := os.Stat(remote + "/dir"); err != nil || !st.IsDir() {
		t.Errorf("dir: %v", err)
	}
}

// TestSFTPReadErrorIsAStatus: reading a directory as a file fails in mid-transfer; the session goes on.
func TestSFTPReadErrorIsAStatus(t *testing.T) {
	w := newWorld(t)
	local, remote := t.TempDir(), t.TempDir()
	writeFile(t, remote+"/good", []byte("good"))
	out, _ := w.sftp(local, remote, "-get /proc/self/mem bad\nget good\n")
	if got, err := os.ReadFile(local + "/good"); err != nil || string(got) != "good" {
		t.Errorf("got %q, %v; output:\n%s", got, err, out)
	}
}

func TestSCP(t *testing.T) {
	w := newWorld(t)
	local, remote := t.TempDir(), t.TempDir()
	w.dir = remote
	if err := os.MkdirAll(local+"/tree/sub/deep", 0o750); err != nil {
		t.Fatal(err)
	}
	for i := range 150 {
		writeFile(t, filepath.Join(local, "tree/sub", "file with blank "+time.Duration(i).String()), randomBytes(i*100))
	}
	stamp := time.Unix(1e9, 0)
	if err := os.Chtimes(local+"/tree/sub/deep", stamp, stamp); err != nil {
		t.Fatal(err)
	}
	if out, ok := w.openssh(local, "", "scp", "-D", os.Args[0], "-rp", "tree", "fake:"); !ok {
		t.Fatal(out)
	}
	if out, ok := w.openssh(local, "", "scp", "-D", os.Args[0], "-rp", "fake:tree", "back"); !ok {
		t.Fatal(out)
	}
	if out, err := exec.Command("diff", "-r", local+"/tree", local+"/back").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	st, err := os.Stat(local + "/back/sub/deep")
	if err != nil || !st.ModTime().Equal(stamp) || st.Mode().Perm() != 0o750 {
		t.Errorf("deep: %v, %v", st, err)
	}
}

// TestSCPTilde: scp asks the server to expand ~user.
func TestSCPTilde(t *testing.T) {
	w := newWorld(t)
	a := w.agent.account()
	f, err := os.CreateTemp(a.Home, "agent-test-")
	if err != nil {
		t.Skip("home is not writable: " + err.Error())
	}
	defer os.Remove(f.Name())
	_, _ = f.WriteString("tilde")
	f.Close()
	local := t.TempDir()
	base := filepath.Base(f.Name())
	for _, source := range []string{"fake:~/" + base, "fake:~" + a.Name + "/" + base, "fake:" + base} {
		if out, ok := w.openssh(local, "", "scp", "-D", os.Args[0], source, "got"); !ok {
			t.Errorf("%s: %s", source, out)
			continue
		}
		if got, _ := os.ReadFile(local + "/got"); string(got) != "tilde" {
			t.Errorf("%s: %q", source, got)
		}
		os.Remove(local + "/got")
	}
	if out, ok := w.openssh(local, "", "scp", "-D", os.Args[0], "fake:~no-such-account/x", "got"); ok {
		t.Errorf("succeeded: %s", out)
	}
}

func TestResolve(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir+"/d", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("d", dir+"/l"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"/l": "/d", "/l/new": "/d/new", "/d/../l/": "/d", "/absent": "/absent", "/absent/x": "", "/d/.": "/d", "/l/..": ""} {
		got, err := resolve(dir + name)
		if want == "" && name != "/l/.." {
			if err == nil {
				t.Errorf("%s is %s", name, got)
			}
			continue
		}
		if err != nil || got != dir+want {
			t.Errorf("%s is %s, %v; want %s", name, got, err, dir+want)
		}
	}
}

func TestListing(t *testing.T) {
	for mode, want := range map[uint32]string{
		syscall.S_IFREG | 0o644: "-rw-r--r--", syscall.S_IFDIR | 0o1777: "drwxrwxrwt", syscall.S_IFREG | 0o4755: "-rwsr-xr-x",
		syscall.S_IFREG | 0o6644: "-rwSr-Sr--", syscall.S_IFLNK | 0o777: "lrwxrwxrwx", syscall.S_IFCHR | 0o1000: "c--------T",
	} {
		if got := modeText(mode); got != want {
			t.Errorf("%o is %s, want %s", mode, got, want)
		}
	}
	now := time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)
	for at, want := range map[time.Time]string{
		now.Add(-time.Hour): "Jun 15 11:00", now.AddDate(-1, 0, 0): "Jun 15  2025", now.AddDate(1, 0, 0): "Jun 15  2027",
	} {
		if got := listTime(at, now); got != want {
			t.Errorf("%v is %q, want %q", at, got, want)
		}
	}
}
