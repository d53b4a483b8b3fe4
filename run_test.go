package fakessh_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"fakessh"
	"fakessh/bootstrap"
	"fakessh/methods"
)

// result is what a program of a run said and how it ended.
type result struct {
	out, err string
	exit     int
}

// runIn runs argv in tree with stdin, and collects what it says.
func runIn(t *testing.T, tree *fakessh.Tree, dest, stdin string, argv []string, opts ...fakessh.RunOption) result {
	t.Helper()
	r, err := tryRun(t, tree, dest, stdin, argv, opts...)
	if err != nil {
		t.Fatalf("run %q: %v", argv, err)
	}
	return r
}

func tryRun(t *testing.T, tree *fakessh.Tree, dest, stdin string, argv []string, opts ...fakessh.RunOption) (result, error) {
	t.Helper()
	in, inW := mustPipe(t)
	outR, out := mustPipe(t)
	errR, stderr := mustPipe(t)
	var stdout, errs bytes.Buffer
	done := make(chan struct{}, 3)
	go func() { io.WriteString(inW, stdin); inW.Close(); done <- struct{}{} }()
	go func() { io.Copy(&stdout, outR); done <- struct{}{} }()
	go func() { io.Copy(&errs, errR); done <- struct{}{} }()
	opts = append([]fakessh.RunOption{fakessh.Stdio(in, out, stderr)}, opts...)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	exit, err := tree.Run(ctx, dest, argv, opts...)
	in.Close()
	out.Close()
	stderr.Close()
	for range 3 {
		<-done
	}
	outR.Close()
	errR.Close()
	return result{stdout.String(), errs.String(), exit}, err
}

func mustPipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

func script(command string) []string { return []string{"sh", "-c", command} }

func TestRunCommands(t *testing.T) {
	tree := realTree(t, nil)
	tests := []struct {
		name, stdin, command string
		want                 result
	}{
		{"exit status", "", "ssh any.host 'exit 7'", result{"", "", 7}},
		{"output", "", "ssh any.host 'echo out; echo err >&2'", result{"out\n", "err\n", 0}},
		{"stdin", "some text", "ssh any.host cat", result{"some text", "", 0}},
		{"half-close", "abc", "ssh any.host 'wc -c; sleep 0.1; echo late'", result{"3\nlate\n", "", 0}},
		{"words", "", "ssh any.host echo 'a  b' c", result{"a b c\n", "", 0}},
		{"not found", "", "ssh any.host no-such-program 2>/dev/null", result{"", "", 127}},
		{"killed there", "", "ssh any.host 'kill -9 $$'; echo $?", result{"255\n", "", 0}},
		{"null stdin", "unread", "ssh -n any.host cat; cat", result{"unread", "", 0}},
		{"options after host", "", "ssh any.host -T -o BatchMode=yes -- echo -n x", result{"x", "", 0}},
		{"environment", "", "GIT_PROTOCOL=version=2 ssh -o SendEnv=GIT_PROTOCOL any.host 'echo $GIT_PROTOCOL'", result{"version=2\n", "", 0}},
		{"nobody reads", "", "ssh any.host yes | head -n 1", result{"y\n", "", 0}},
		{"two at once", "", "ssh a 'echo 1; sleep 0.2' & ssh b 'sleep 0.1; echo 2'; wait", result{"1\n2\n", "", 0}},
		{"pipeline", "", "ssh a 'seq 100000' | ssh b 'cat; exit 3'", result{seq(100000), "", 3}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := runIn(t, tree, "local", tt.stdin, script(tt.command)); got != tt.want {
				t.Errorf("got %.300q, want %.300q", fmt.Sprint(got), fmt.Sprint(tt.want))
			}
		})
	}
}

func seq(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strconv.Itoa(i + 1))
		b.WriteByte('\n')
	}
	return b.String()
}

// need fails, or outside of CI skips, when a program is missing.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, name := range programs {
		if _, err := exec.LookPath(name); err == nil {
			continue
		}
		if os.Getenv("CI") != "" {
			t.Fatal(name + " is missing")
		}
		t.Skip(name + " is missing")
	}
}

// runOK runs a program that has to succeed silently on stderr.
func runOK(t *testing.T, tree *fakessh.Tree, dest string, argv []string, opts ...fakessh.RunOption) string {
	t.Helper()
	r := runIn(t, tree, dest, "", argv, opts...)
	if r.exit != 0 || r.err != "" {
		t.Fatalf("%q: exit %d, stderr %q", argv, r.exit, r.err)
	}
	return r.out
}

// someFiles makes a directory with files of several kinds and sizes.
func someFiles(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "src")
	for i, size := range []int{0, 1, 4096, 300_000, 5_000_000} {
		writeFile(t, filepath.Join(dir, fmt.Sprintf("d%d/file %d", i%2, i)), randomBytes(size))
	}
	if err := os.Symlink("d0/file 0", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func writeFile(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// sameTree compares two directories by every file's content.
func sameTree(t *testing.T, a, b string) {
	t.Helper()
	out, err := exec.Command("diff", "-r", "--no-dereference", a, b).CombinedOutput()
	if err != nil {
		t.Errorf("%s and %s differ: %.500s", a, b, out)
	}
}

func sameFile(t *testing.T, a, b string) {
	t.Helper()
	x, err1 := os.ReadFile(a)
	y, err2 := os.ReadFile(b)
	if err1 != nil || err2 != nil || !bytes.Equal(x, y) {
		t.Errorf("%s and %s differ: %v %v", a, b, err1, err2)
	}
}

func TestRunRsync(t *testing.T) {
	need(t, "rsync")
	tree := realTree(t, nil)
	src, dst := someFiles(t), filepath.Join(t.TempDir(), "dst")
	runOK(t, tree, "local", []string{"rsync", "-a", src + "/", "any.host:" + dst + "/"})
	sameTree(t, src, dst)
	back := filepath.Join(t.TempDir(), "back")
	runOK(t, tree, "local", []string{"rsync", "-az", "any.host:" + dst + "/", back + "/"})
	sameTree(t, src, back)
}

func TestRunScp(t *testing.T) {
	need(t, "scp", "sftp")
	tree := realTree(t, nil)
	src := someFiles(t)
	big := filepath.Join(src, "d0", "file 4")
	for _, args := range [][]string{{"scp", "-q"}, {"scp", "-qO"}, {"/usr/bin/scp", "-q"}, {"sh", "-c", `exec scp -q "$@"`, "sh"}} {
		dst := filepath.Join(t.TempDir(), "dst")
		runOK(t, tree, "local", append(args, "-r", src, "any.host:"+dst))
		sameFile(t, big, filepath.Join(dst, "d0", "file 4"))
		back := filepath.Join(t.TempDir(), "back")
		runOK(t, tree, "local", append(args, "any.host:"+filepath.Join(dst, "d0", "file?4"), back))
		sameFile(t, big, back)
	}
	dst := filepath.Join(t.TempDir(), "dst")
	runOK(t, tree, "local", []string{"scp", "-q3", "a:" + filepath.Join(src, "d0", "file?4"), "b:" + dst}) // two ssh in one program
	sameFile(t, big, dst)
}

func TestRunSftp(t *testing.T) {
	need(t, "sftp")
	tree := realTree(t, nil)
	dir := t.TempDir()
	up, batch := filepath.Join(dir, "up"), filepath.Join(dir, "batch")
	writeFile(t, up, randomBytes(1_000_000))
	writeFile(t, batch, fmt.Appendf(nil, "put %[1]s/up %[1]s/there\nrename %[1]s/there %[1]s/moved\nchmod 600 %[1]s/moved\nget %[1]s/moved %[1]s/back\n", dir))
	r := runIn(t, tree, "local", "", []string{"sftp", "-q", "-b", batch, "any.host"})
	if r.exit != 0 {
		t.Fatalf("sftp: exit %d, %s", r.exit, r.err)
	}
	sameFile(t, up, filepath.Join(dir, "back"))
}

func TestRunGit(t *testing.T) {
	need(t, "git")
	tree := realTree(t, nil)
	dir := t.TempDir()
	env := append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "HOME="+dir, "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b")
	writeFile(t, filepath.Join(dir, "work", "file"), randomBytes(200_000))
	run := func(command string) {
		t.Helper()
		r := runIn(t, tree, "local", "", script("cd "+dir+" && { "+command+"; } >"+dir+"/log 2>&1 || { cat "+dir+"/log >&2; exit 1; }"), fakessh.Env(env))
		if r.exit != 0 {
			t.Fatalf("%s: %s", command, r.err)
		}
	}
	run("git init -q --bare bare.git && cd work && git init -q && git add . && git commit -qm one")
	run("cd work && git push -q any.host:" + dir + "/bare.git HEAD:refs/heads/main")
	run("git clone -q -b main ssh://any.host:22" + dir + "/bare.git clone")
	sameFile(t, filepath.Join(dir, "work", "file"), filepath.Join(dir, "clone", "file"))
}

func TestRunHundredMegabytesBothWays(t *testing.T) {
	tree := realTree(t, nil)
	dir := t.TempDir()
	file := filepath.Join(dir, "big")
	writeFile(t, file, randomBytes(100<<20))
	runOK(t, tree, "local", script("ssh x cat <"+file+" >"+dir+"/back"))
	sameFile(t, file, filepath.Join(dir, "back"))
}

func TestRunEarlyClose(t *testing.T) {
	tree := realTree(t, nil)
	tests := []struct{ name, command, out string }{
		{"program stops reading stdin", "yes | ssh x 'head -n 1'", "y\n"},
		{"nobody reads stderr", "{ ssh x 'yes >&2; echo over' 2>&1 >&3 | head -n 1 >&2; } 3>&1 2>/dev/null", "over\n"},
		{"stdout closed", "ssh x 'echo to nobody; exit 4' >&-; echo $?", "4\n"},
		{"stdin closed", "ssh x 'cat; exit 5' <&-; echo $?", "5\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if r := runIn(t, tree, "local", "", script(tt.command)); r.out != tt.out {
				t.Errorf("got %.300q, want %q; %.300s", r.out, tt.out, r.err)
			}
		})
	}
}

// waitFile waits until a program has written a file, and returns what is in it.
func waitFile(t *testing.T, name string) string {
	t.Helper()
	var data []byte
	eventually(t, name+" is there", func() bool {
		data, _ = os.ReadFile(name)
		return bytes.HasSuffix(data, []byte("\n"))
	})
	return strings.TrimSpace(string(data))
}

func processGone(pid string) bool {
	_, err := os.Stat("/proc/" + pid)
	return err != nil
}

func TestRunKilledShimEndsTheRemoteCommand(t *testing.T) {
	tree := realTree(t, nil)
	for _, sig := range []string{"TERM", "INT", "HUP", "KILL"} {
		t.Run(sig, func(t *testing.T) {
			file, shim := filepath.Join(t.TempDir(), "pid"), filepath.Join(t.TempDir(), "shim")
			// In the background of a shell ssh would be started to ignore SIGINT.
			r := runIn(t, tree, "local", "", script("{ while ! test -s "+file+"; do sleep 0.02; done; kill -"+sig+" $(cat "+shim+"); } & "+
				"sh -c 'echo $$ >"+shim+"; exec ssh x \"echo \\$\\$ >"+file+"; exec sleep 1000\"'; echo $?"))
			want := "255\n"
			if sig == "KILL" {
				want = "137\n"
			}
			if r.out != want {
				t.Errorf("got %q, %s", r.out, r.err)
			}
			pid := waitFile(t, file)
			eventually(t, "the remote command ends", func() bool { return processGone(pid) })
		})
	}
}

// nohup has cmd started by a shell that ignores SIGHUP. A link gives it its argv[0].
func nohup(t *testing.T, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	dir := t.TempDir()
	if err := os.Symlink(cmd.Path, filepath.Join(dir, cmd.Args[0])); err != nil {
		t.Fatal(err)
	}
	ignoring := exec.Command("sh", append([]string{"-c", `trap "" HUP; PATH="$0:$PATH"; exec "$@"`, dir}, cmd.Args...)...)
	ignoring.Env = cmd.Env
	return ignoring
}

// What nohup has a run ignore, its program and its ssh ignore too.
func TestRunHeedsNohup(t *testing.T) {
	if testing.Short() {
		t.Skip("starts agents")
	}
	cmd := nohup(t, runCommand(t, "sh", "-c", `echo $$; exec ssh x 'echo started; read word; exit 7'`))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var shim int
	if _, err := fmt.Fscanf(out, "%d\nstarted\n", &shim); err != nil {
		t.Fatal(err)
	}
	for _, pid := range []int{cmd.Process.Pid, shim} {
		if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
			t.Error(err)
		}
	}
	fmt.Fprintln(in, "word")
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 7 {
		t.Errorf("it ended with %v", cmd.ProcessState)
	}
}

func TestRunDeadline(t *testing.T) {
	tree := realTree(t, nil)
	file := filepath.Join(t.TempDir(), "pid")
	start := time.Now()
	r := runIn(t, tree, "local", "", script("ssh x 'echo $$ >"+file+"; exec sleep 1000'; sleep 1000"), fakessh.Deadline(time.Second))
	if r.exit != 143 || r.err != "fakessh: sh: deadline of 1s exceeded\n" {
		t.Errorf("exit %d, %q", r.exit, r.err)
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("took %v", d)
	}
	pid := waitFile(t, file)
	eventually(t, "the remote command ends", func() bool { return processGone(pid) })
}

func TestRunDeadlineIgnoredIsKilled(t *testing.T) {
	tree := realTree(t, nil)
	r := runIn(t, tree, "local", "", script("trap '' TERM; while :; do sleep 0.1; done"), fakessh.Deadline(200*time.Millisecond))
	if r.exit != 137 {
		t.Errorf("exit %d, %q", r.exit, r.err)
	}
}

func TestRunErrorsBeforeTheProgram(t *testing.T) {
	tree := realTree(t, nil)
	for _, tt := range []struct {
		dest string
		argv []string
		want string
	}{
		{"local", nil, "no program given"},
		{"local", []string{"no-such-program"}, "executable file not found"},
		{"nowhere", []string{"true"}, "nowhere"},
		{"Not A Target", []string{"true"}, "Not A Target"},
	} {
		_, err := tryRun(t, tree, tt.dest, "", tt.argv)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q %q: %v", tt.dest, tt.argv, err)
		}
	}
}

// Whoever it is that could not connect, the line says what was tried.
func TestRunErrorsNameTheTarget(t *testing.T) {
	tree := realTree(t, map[string]fakessh.TargetConfig{
		"one": sh(""),
		"far": {Spec: methods.Spec{Method: "exec", Params: methods.Params{"command": []string{"sh", "-c", "echo no entry >&2; exit 3"}}}, Via: "one"},
	})
	const want = "dial far via one: no entry"
	if r := runIn(t, tree, "far", "", script("ssh x true")); r != (result{"", "ssh: " + want + "\n", 255}) {
		t.Errorf("run: %q", fmt.Sprint(r))
	}
	if r := runIn(t, tree, "far", "", script("ssh x true"), fakessh.From("one")); r != (result{"", "ssh: " + want + "\n", 255}) {
		t.Errorf("run --from one: %q", fmt.Sprint(r))
	}
	if _, err := tryRun(t, tree, "one", "", script("true"), fakessh.From("far")); err == nil || err.Error() != want {
		t.Errorf("run --from far: %v", err)
	}
	if _, err := tryRun(t, tree, "one", "", []string{"no-such-program"}); err == nil || err.Error() != `run "no-such-program": executable file not found in $PATH` {
		t.Errorf("no program: %v", err)
	}
}

func TestRunWithoutDestination(t *testing.T) {
	tree := realTree(t, map[string]fakessh.TargetConfig{"inner": sh("local")})
	r := runIn(t, tree, "", "", script("ssh inner 'echo in'; ssh LOCAL 'echo local'; ssh elsewhere true; echo $?; ssh 'local' -l no-such-account true; echo $?"))
	if r.out != "in\nlocal\n255\n255\n" {
		t.Errorf("got %q", r.out)
	}
	lines := strings.Split(strings.TrimSpace(r.err), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "ssh: ") || !strings.Contains(lines[0], "elsewhere") || !strings.Contains(lines[1], "no-such-account") {
		t.Errorf("stderr %q", r.err)
	}
}

// An image's name goes when other versions begin beside it; a run that has begun with it goes on.
func TestRunOutlivesTheNameOfItsImage(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has paths of open files")
	}
	image := filepath.Join(t.TempDir(), "image")
	if out, err := exec.Command("cp", os.Args[0], image).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
	images, err := bootstrap.NewImages(nil, image)
	if err != nil {
		t.Fatal(err)
	}
	tree := treeWithImages(t, images, nil)
	runOK(t, tree, "local", script("ssh x true && rm '"+image+"' && ssh x true && ssh -f x touch '"+image+".done' 2>/dev/null && until test -e '"+image+".done'; do sleep 0.01; done"))
}

func TestRunLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	tree := realTree(t, nil)
	runOK(t, tree, "local", script("ssh x true"))
	before := len(openFiles())
	goroutines := runtime.NumGoroutine()
	for range 20 {
		runOK(t, tree, "local", script("ssh x true; echo a | ssh x cat >/dev/null"))
	}
	eventually(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= goroutines })
	eventually(t, "descriptors are closed", func() bool { return len(openFiles()) <= before })
	if left, _ := filepath.Glob(dir + "/fakessh-run-*"); len(left) != 0 {
		t.Errorf("left %q", left)
	}
}

func TestRunFromATarget(t *testing.T) {
	need(t, "rsync")
	tree := realTree(t, map[string]fakessh.TargetConfig{"web1": sh("local"), "db": sh("local")})
	src, dst := someFiles(t), filepath.Join(t.TempDir(), "dst")
	from := fakessh.From("web1")
	runOK(t, tree, "db", []string{"rsync", "-a", src + "/", "any.host:" + dst + "/"}, from)
	sameTree(t, src, dst)
	tests := []struct {
		name, dest, stdin, command string
		want                       result
	}{
		{"where it runs", "db", "", "echo $FAKESSH_DEST; ssh x 'echo ${FAKESSH_SOCKET:-none}'", result{"\nnone\n", "", 0}},
		{"stdio and exit", "db", "abc", "ssh x 'cat; echo err >&2; exit 9'", result{"abc", "err\n", 9}},
		{"no destination", "", "", "ssh db 'exit 3'", result{"", "", 3}},
		{"two at once", "db", "", "ssh x 'seq 50000' | ssh y 'cat; exit 2'", result{seq(50000), "", 2}},
		{"killed", "db", "", "kill -TERM $$", result{"", "", 143}},
		{"nobody reads", "db", "", "ssh x yes | head -n 1", result{"y\n", "", 0}},
		{"unknown host", "", "", "ssh nowhere true 2>&1; exit $?", result{"ssh: no target \"nowhere\"\n", "", 255}},
		{"long command", "db", "", "ssh x 'echo " + strings.Repeat("x", 100_000) + "' | wc -c", result{"100001\n", "", 0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := runIn(t, tree, tt.dest, tt.stdin, script(tt.command), from)
			if got != tt.want {
				t.Errorf("got %.300q, want %.300q", fmt.Sprint(got), fmt.Sprint(tt.want))
			}
		})
	}
	r := runIn(t, tree, "db", "", script("ssh x 'exec sleep 1000'"), from, fakessh.Deadline(500*time.Millisecond))
	if r.exit != 143 || !strings.Contains(r.err, "deadline of 500ms exceeded") {
		t.Errorf("deadline: exit %d, %q", r.exit, r.err)
	}
}
