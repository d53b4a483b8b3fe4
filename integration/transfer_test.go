package integration

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"fakessh/integration/bed"
)

// withTools are the chains whose ends have rsync, git and a scp of their own.
var withTools = []string{"local", "web1", "web2+sudo", "app", "sshapp", "far", "hop3"}

// sender runs a tool through the gateway, or through `fakesshd run`.
type sender struct {
	name string
	cmd  func(chain, tool string, args ...string) *exec.Cmd
	host func(chain string) string
}

var senders = []sender{
	{"gateway", func(chain, tool string, args ...string) *exec.Cmd {
		switch tool {
		case "rsync":
			return exec.Command("rsync", append([]string{"-e", "ssh -F " + b.Path("ssh_config")}, args...)...)
		case "git":
			cmd := exec.Command("git", args...)
			cmd.Env = append(os.Environ(), "GIT_SSH_COMMAND=ssh -F "+b.Path("ssh_config"))
			return cmd
		}
		return b.Tool(tool, args...)
	}, func(chain string) string { return chain + "@gw" }},
	{"run", func(chain, tool string, args ...string) *exec.Cmd {
		return fakesshd(append([]string{"run", "--config", b.Path("fakesshd.yaml"), chain, "--", tool}, args...)...)
	}, func(chain string) string { return "there" }},
}

// fakesshd is the command itself.
func fakesshd(args ...string) *exec.Cmd {
	bin, err := bed.Binary()
	if err != nil {
		panic(err)
	}
	return exec.Command(bin, args...)
}

func onSenders(t *testing.T, f func(t *testing.T, s sender, chain string)) {
	for _, s := range senders {
		for _, chain := range withTools {
			t.Run(s.name+"/"+chain, func(t *testing.T) { f(t, s, chain) })
		}
	}
}

// farDir makes an empty directory at the end of a chain.
func farDir(t *testing.T, chain string) string {
	t.Helper()
	dir := strings.TrimSpace(ok(t, b.SSH(chain+"@gw", "mktemp -d")).out)
	t.Cleanup(func() { b.SSH(chain+"@gw", "rm -rf "+dir).Run() })
	return dir
}

// sample makes a tree with all kinds of entries.
func sample(t *testing.T, files int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "src")
	for i := range files {
		sub := filepath.Join(dir, fmt.Sprintf("d%02d", i%20))
		os.MkdirAll(sub, 0o755)
		if err := os.WriteFile(filepath.Join(sub, fmt.Sprintf("f%d", i)), []byte(strings.Repeat(fmt.Sprint(i, " "), 800)), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	script := `cd "$1" && ln -s d00/f0 link && ln -s nowhere dangling && ln d00/f0 hard && mkfifo fifo && truncate -s 64M sparse &&
		printf x | dd of=sparse bs=1 seek=30000000 conv=notrunc status=none && mkdir "with blank" && printf 'a\n' >"with blank/it's" &&
		printf b >"new
line" && chmod 4755 d01/f1 &&
		find . -depth -exec touch -h -d 2001-02-03T04:05:06 {} +` // rsync leaves times within the same second as they are
	if out, err := exec.Command("sh", "-c", script, "sh", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return dir
}

// listing is a fingerprint of a tree: kinds, modes, sizes, times, links and contents.
const listing = `cd "$0" && find . -printf '%P %y %m %s %l %T@\n' | sed 's/\(d [0-9]* \)[0-9]* /\1/' | sort; find . -type f -exec sha256sum {} + | sort`

func localListing(t *testing.T, dir string) string {
	t.Helper()
	return ok(t, exec.Command("sh", "-c", listing, dir)).out
}

// sameListing reports the first lines that differ.
func sameListing(t *testing.T, want, got string) {
	t.Helper()
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i, shown := 0, 0; i < max(len(w), len(g)) && shown < 5; i++ {
		a, b := "", ""
		if i < len(w) {
			a = w[i]
		}
		if i < len(g) {
			b = g[i]
		}
		if a != b {
			t.Errorf("the trees differ in line %d: want %q, got %q", i, a, b)
			shown++
		}
	}
}

func TestRsyncMirrorsEverything(t *testing.T) {
	src := sample(t, 400)
	onSenders(t, func(t *testing.T, s sender, chain string) {
		far := farDir(t, chain)
		ok(t, s.cmd(chain, "rsync", "-aHS", src+"/", s.host(chain)+":"+far+"/dst/"))
		back := filepath.Join(t.TempDir(), "back")
		ok(t, s.cmd(chain, "rsync", "-aHS", s.host(chain)+":"+far+"/dst/", back+"/"))
		sameListing(t, localListing(t, src), localListing(t, back))
	})
}

func TestRsyncOfTwentyThousandFilesWithXattrs(t *testing.T) {
	src := sample(t, 20000)
	if out, err := exec.Command("setfattr", "-n", "user.note", "-v", "kept", src+"/d00/f0").CombinedOutput(); err != nil {
		t.Logf("no user xattrs here: %s", out)
	}
	far := farDir(t, "web2+sudo")
	ok(t, senders[0].cmd("", "rsync", "-aHSX", src+"/", "web2+sudo@gw:"+far+"/dst/"))
	sameListing(t, localListing(t, src), localListing(t, far+"/dst"))
	attr := func(dir string) string {
		out, _ := exec.Command("getfattr", "-d", "--absolute-names", "--only-values", dir+"/d00/f0").Output()
		return string(out)
	}
	if attr(src) != attr(far+"/dst") {
		t.Error("the extended attributes differ")
	}
}

func TestScpBothProtocolsBothWays(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	writeRandom(t, file, 20<<20)
	onSenders(t, func(t *testing.T, s sender, chain string) {
		far := farDir(t, chain)
		for _, flags := range [][]string{{"-p"}, {"-O", "-p"}} {
			back := filepath.Join(t.TempDir(), "back")
			ok(t, s.cmd(chain, "scp", append(flags, "-q", file, s.host(chain)+":"+far+"/f")...))
			ok(t, s.cmd(chain, "scp", append(flags, "-q", s.host(chain)+":"+far+"/f", back)...))
			sameFile(t, file, back)
		}
	})
}

func TestScpRecursive(t *testing.T) {
	src := t.TempDir()
	for i := range 300 {
		os.WriteFile(filepath.Join(src, fmt.Sprintf("f%d", i)), []byte(fmt.Sprint(i)), 0o644)
	}
	onSenders(t, func(t *testing.T, s sender, chain string) {
		far := farDir(t, chain)
		back := filepath.Join(t.TempDir(), "back")
		ok(t, s.cmd(chain, "scp", "-qr", src, s.host(chain)+":"+far+"/dst"))
		ok(t, s.cmd(chain, "scp", "-qr", s.host(chain)+":"+far+"/dst", back))
		ok(t, exec.Command("diff", "-r", src, back))
	})
}

func TestSftpDoesWhatItsUsersDo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	writeRandom(t, file, 8<<20)
	onSenders(t, func(t *testing.T, s sender, chain string) {
		far, local := farDir(t, chain), t.TempDir()
		if err := exec.Command("sh", "-c", `head -c 3000000 "$0" >"$1"`, file, local+"/part").Run(); err != nil {
			t.Fatal(err)
		}
		batch := filepath.Join(local, "batch")
		text := strings.NewReplacer("FAR", far, "LOCAL", local, "FILE", file).Replace(`cd FAR
put FILE one
get one LOCAL/one
reget one LOCAL/part
symlink one sym
get sym LOCAL/sym
rename one two
ln two three
chmod 600 two
mkdir sub
put FILE sub/x
rm sub/x
rmdir sub
df
ls -la
`)
		if err := os.WriteFile(batch, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		r := ok(t, s.cmd(chain, "sftp", "-b", batch, s.host(chain)))
		if !strings.Contains(r.out, "%Capacity") || !strings.Contains(r.out, "sym") {
			t.Errorf("df and ls say %q", r.out)
		}
		sameFile(t, file, local+"/one")
		sameFile(t, file, local+"/part")
	})
}

func TestGitCloneAndPush(t *testing.T) {
	onSenders(t, func(t *testing.T, s sender, chain string) {
		far, local := farDir(t, chain), t.TempDir()
		ok(t, b.SSH(chain+"@gw", "git init -q --bare -b main "+far+"/repo"))
		git := func(dir string, args ...string) result {
			args = append([]string{"-c", "user.name=n", "-c", "user.email=e@x", "-c", "protocol.version=2"}, args...)
			cmd := s.cmd(chain, "git", args...)
			cmd.Dir = dir
			return ok(t, cmd)
		}
		git(local, "clone", "-q", s.host(chain)+":"+far+"/repo", "work")
		work := filepath.Join(local, "work")
		writeRandom(t, work+"/blob", 3<<20)
		git(work, "add", "blob")
		git(work, "commit", "-qm", "one")
		git(work, "push", "-q", "origin", "HEAD:main")
		git(local, "clone", "-q", s.host(chain)+":"+far+"/repo", "again")
		sameFile(t, work+"/blob", local+"/again/blob")
	})
}

func TestTwentyRsyncsAtOnce(t *testing.T) {
	src := sample(t, 200)
	far := farDir(t, "web1")
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			s := senders[i%2]
			cmd := s.cmd("web1", "rsync", "-a", src+"/", s.host("web1")+fmt.Sprintf(":%s/%d/", far, i))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("rsync %d: %v: %s", i, err, out)
			}
		})
	}
	wg.Wait()
}

func writeRandom(t *testing.T, path string, n int64) {
	t.Helper()
	f, err := os.Create(path)
	if err == nil {
		_, err = f.ReadFrom(random(n))
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func sameFile(t *testing.T, a, c string) {
	t.Helper()
	x, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := os.ReadFile(c)
	if err != nil {
		t.Fatal(err)
	}
	if sha256.Sum256(x) != sha256.Sum256(y) {
		t.Errorf("%s and %s differ", a, c)
	}
}
