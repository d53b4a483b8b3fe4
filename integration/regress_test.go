package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fakessh/integration/bed"
)

// direct is the real client to the real sshd that web1 is reached by: what it gives is what the gateway has to give.
func direct(args ...string) *exec.Cmd {
	return exec.Command("ssh", append([]string{"-F", "none", "-i", b.Path("id"), "-o", "UserKnownHostsFile=" + b.Path("known_hosts"),
		"-o", "BatchMode=yes", "-p", fmt.Sprint(b.SSHDPort), "-l", bed.Ann, "127.0.0.1"}, args...)...)
}

// In the spirit of OpenSSH's regress tests (exit-status, stderr-data, stderr-after-eof, envpass, …): the same answers as from sshd itself.
func TestAnswersAreThoseOfSSHD(t *testing.T) {
	long := strings.Repeat("x", 120_000)
	for name, c := range map[string]struct{ command, input string }{
		"status beyond a byte":  {"exit 300", ""},
		"status after a delay":  {"sleep 0.3; exit 44", ""},
		"killed":                {"kill -KILL $$", ""},
		"terminated":            {"kill -TERM $$", ""},
		"not found":             {"no-such-command-at-all", ""},
		"not executable":        {"/etc/passwd", ""},
		"syntax":                {"if then", ""},
		"quotes":                {`printf "a\tb\n\\x"; echo "q'q" "$HOME" $(pwd) '$x'`, ""},
		"lines":                 {"echo one\necho two\n\nfalse", ""},
		"bytes beyond ASCII":    {"printf %s \xff\xfe\xe4 | od -c", ""},
		"a long command":        {"echo " + long + " | wc -c", ""},
		"stderr":                {"echo out; echo err >&2; exit 3", ""},
		"stderr after EOF":      {"exec >&-; sleep 0.2; seq 20000 >&2", ""},
		"stdout after EOF":      {"exec 2>&-; sleep 0.2; seq 20000", ""},
		"no input":              {"wc -c", ""},
		"unread input":          {"exit 5", long},
		"half-read input":       {"read x; echo ${#x}; exec <&-; sleep 0.1; echo end", long + "\nmore"},
		"descriptors":           {"ls /proc/self/fd; tty", ""},
		"limits and umask":      {"umask; ulimit -a", ""},
		"signals":               {"grep -E 'Sig(Blk|Ign|Cgt)' /proc/self/status", ""},
		"shell":                 {"shopt login_shell; echo $- $0 $SHLVL", ""},
		"background with stdio": {"sleep 0.5 & echo started", ""},
		"background without":    {"sleep 30 >/dev/null 2>&1 & echo started", ""},
		"environment":           {"env | grep -v -E '^(SSH_|MOTD_SHOWN|MAIL|_=)' | sort", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want, got := direct(c.command), b.SSH("web1@gw", c.command)
			want.Stdin, got.Stdin = strings.NewReader(c.input), strings.NewReader(c.input)
			w, g := do(t, want), do(t, got)
			if g.out != w.out || g.err != w.err || g.code != w.code {
				t.Errorf("sshd:    %d %.500q %.500q\ngateway: %d %.500q %.500q", w.code, w.out, w.err, g.code, g.out, g.err)
			}
		})
	}
	exec.Command("pkill", "-u", bed.Ann, "-x", "sleep").Run()
}

// The client's own descriptors may be closed, and its standard input may be nothing.
func TestClosedStandardStreams(t *testing.T) {
	for line, want := range map[string]result{
		`ssh -n -F "$0" web1@gw "wc -c"`:                               {out: "0\n"},
		`ssh -F "$0" web1@gw "wc -c" <&-`:                              {out: "0\n"},
		`ssh -F "$0" web1@gw "echo out; echo err >&2; exit 3" >&-`:     {err: "err\n", code: 3},
		`ssh -F "$0" web1@gw "echo out; echo err >&2; exit 4" 2>&-`:    {out: "out\n", code: 4},
		`ssh -f -F "$0" web1@gw "sleep 0.2; echo late" </dev/null`:     {out: "late\n"},
		`ssh -tt -F "$0" web1@gw "sleep 30 & echo started" </dev/null`: {out: "started\r\n"},
		`seq 3000000 | ssh -F "$0" web1@gw "head -1"`:                  {out: "1\n"},
	} {
		r := do(t, exec.Command("bash", "-c", line, b.Path("ssh_config")))
		err := strings.TrimPrefix(r.err, "Connection to 127.0.0.1 closed.\r\n") // the client's own
		if r.out != want.out || err != want.err || r.code != want.code {
			t.Errorf("%s: exit %d, stdout %.200q, stderr %q", line, r.code, r.out, r.err)
		}
	}
}

// Jobs of an interactive shell do not keep its session, as they do not keep sshd's.
func TestLogoutWithJobsInTheBackground(t *testing.T) {
	for _, target := range []string{"web1", "app"} {
		x := newTerminal(t, b.SSH("-tt", target+"@gw"))
		x.typed("PS1=:; sleep 321 & echo job=$!\n")
		x.want("job=")
		start := time.Now()
		x.typed("exit 6\n")
		x.want("closed.")
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%s: took %v", target, took)
		}
		do(t, b.SSH(target+"@gw", "pkill -x sleep"))
	}
}

// In the spirit of sftp-badcmds, sftp-glob and scp: what cannot be done is told by the tool, with its own status.
func TestTransfersThatCannotBeDone(t *testing.T) {
	far, file := farDir(t, "web1"), filepath.Join(t.TempDir(), "file")
	writeRandom(t, file, 100)
	for _, c := range []struct{ batch, want string }{
		{"get " + far + "/none x", "not found"},
		{"put " + file + " " + far + "/none/x", "No such file or directory"},
		{"put " + file + " /root/x", "Permission denied"},
		{"mkdir " + far, "Failure"},
		{"rmdir " + far + "/none", "No such file or directory"},
		{"rename " + far + "/none " + far + "/x", "No such file or directory"},
		{"cd " + far + "/none", "No such file or directory"},
		{"rm " + far, "Failure"},
	} {
		cmd := b.Tool("sftp", "-b", "-", "web1@gw")
		cmd.Stdin = strings.NewReader(c.batch + "\n")
		if r := do(t, cmd); r.code != 1 || !strings.Contains(r.err, c.want) {
			t.Errorf("%s: exit %d, %q", c.batch, r.code, r.err)
		}
	}
	for _, args := range [][]string{
		{file, "web1@gw:" + far + "/none/x"}, {"web1@gw:" + far + "/none", file + "2"}, {"-O", "web1@gw:" + far + "/none", file + "2"},
		{"web1@gw:" + far, file + "2"}, {"-O", file, "web1@gw:/root/x"},
	} {
		if r := do(t, b.Tool("scp", append([]string{"-q"}, args...)...)); r.code != 1 || !strings.Contains(r.err, "scp: ") {
			t.Errorf("scp %q: exit %d, %q", args, r.code, r.err)
		}
	}
	r := do(t, exec.Command("rsync", "-e", "ssh -F "+b.Path("ssh_config"), "web1@gw:"+far+"/none", file+"2"))
	if r.code != 23 {
		t.Errorf("rsync: exit %d, %q", r.code, r.err)
	}
}

// A full disk is the tool's own error, and the next session is fine.
func TestDiskFullWhileReceiving(t *testing.T) {
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "file")
	writeRandom(t, file, 3<<20)
	ok(t, exec.Command("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", dir))
	t.Cleanup(func() { exec.Command("umount", "-l", dir).Run() })
	ssh := "ssh -F " + b.Path("ssh_config")
	for _, c := range []struct {
		cmd  *exec.Cmd
		code int
		want string
	}{
		{b.Tool("scp", "-q", file, "local@gw:"+dir+"/x"), 1, "Failure"},
		{b.Tool("scp", "-O", "-q", file, "local@gw:"+dir+"/x"), 1, "No space left on device"},
		{exec.Command("sh", "-c", "echo put $1 $2/x | sftp -b - -F $0 local@gw", b.Path("ssh_config"), file, dir), 1, "Failure"},
		{exec.Command("rsync", "-e", ssh, file, "local@gw:"+dir+"/x"), 11, ""}, // through sshd too its words get lost in one case of five
		{b.SSH("local@gw", "head -c 3000000 /dev/zero >"+dir+"/x"), 1, "No space left on device"},
	} {
		if r := do(t, c.cmd); r.code != c.code || !strings.Contains(r.err, c.want) {
			t.Errorf("%v: exit %d, %q", c.cmd.Args, r.code, r.err)
		}
		ok(t, b.SSH("local@gw", "rm -f "+dir+"/x "+dir+"/.x*"))
	}
}

// oddNames are file names that somebody has somewhere.
var oddNames = []string{"new\nline", "sp ace", "quo'te", `dq"x`, "\xff\xfe", "-dash", "semi;colon", "$dollar", "*star", "ü", strings.Repeat("n", 255)}

func TestOddNamesPass(t *testing.T) {
	src := t.TempDir()
	for _, name := range oddNames {
		if err := writeFile(filepath.Join(src, name), name); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(src+"/"+strings.Repeat("d/", 60), 0o755); err != nil {
		t.Fatal(err)
	}
	onSenders(t, func(t *testing.T, s sender, chain string) {
		far, back, back2 := farDir(t, chain), filepath.Join(t.TempDir(), "back"), t.TempDir()
		ok(t, s.cmd(chain, "rsync", "-a", src+"/", s.host(chain)+":"+far+"/odd/"))
		ok(t, s.cmd(chain, "scp", "-qr", s.host(chain)+":"+far+"/odd", back))
		ok(t, exec.Command("diff", "-r", src, back))
		ok(t, s.cmd(chain, "rsync", "-a", "-s", s.host(chain)+":"+far+"/odd/sp ace", s.host(chain)+":"+far+"/odd/$dollar", back2+"/"))
		ok(t, exec.Command("diff", "-r", "--exclude=d", src+"/sp ace", back2+"/sp ace"))
	})
}

// Rsync's own ways: each line is run with FAR, a directory of web1's account, SRC, its twin here, and LOCAL.
func TestRsyncsWays(t *testing.T) {
	src, far, local := t.TempDir(), farDir(t, "web1"), t.TempDir()
	ok(t, exec.Command("sh", "-c", "cd $0 && for i in 1 2 3 11 12; do echo $i >f$i; done", src))
	writeRandom(t, src+"/big", 12<<20)
	steps := strings.NewReplacer("FAR", far, "SRC", src, "LOCAL", local, "HOST", "web1@gw", "RSYNC", "rsync -e 'ssh -F "+b.Path("ssh_config")+"'")
	for _, line := range []string{
		`RSYNC -a SRC/ HOST:FAR/all/ && touch FAR/all/extra && RSYNC -a --delete SRC/ HOST:FAR/all/ && ! test -e FAR/all/extra`,
		`timeout 1 rsync --partial --bwlimit=4m -e "ssh -F ` + b.Path("ssh_config") + `" SRC/big HOST:FAR/part; test -s FAR/part; ! cmp -s SRC/big FAR/part`,
		`RSYNC --append-verify --partial SRC/big HOST:FAR/part && cmp SRC/big FAR/part`,
		`dd if=/dev/urandom of=SRC/big bs=1000 seek=5000 count=3 conv=notrunc 2>/dev/null; RSYNC --inplace --checksum --stats SRC/big HOST:FAR/part | grep -q 'Matched data: 12,' && cmp SRC/big FAR/part`,
		`printf 'all/f1\nall/f2\n' >FAR/list; RSYNC -a --files-from=:FAR/list HOST:FAR LOCAL/ff && test $(find LOCAL/ff -type f | wc -l) = 2`,
		`printf '[mod]\npath=FAR/all\nuse chroot=no\n' >FAR/rsyncd.conf; RSYNC -a --rsync-path='rsync --config=FAR/rsyncd.conf' HOST::mod/f3 LOCAL/ && cmp SRC/f3 LOCAL/f3`,
		`RSYNC -a --include='f1*' --exclude='*' --delete --delete-excluded SRC/ HOST:FAR/all/ && test -e FAR/all/f1 && ! test -e FAR/all/f2`,
		`rm -rf /root/fk-sudo; RSYNC -a --rsync-path='sudo rsync' SRC/f1 web2@gw:/root/fk-sudo && test -O /root/fk-sudo; rm /root/fk-sudo`,
		`mkdir LOCAL/dev; cd LOCAL/dev; echo a >a; ln a b; mkfifo p; mknod null c 1 3; setfattr -n user.k -v v a; setfacl -m u:daemon:r a; RSYNC -aHAXD ./ rootssh@gw:LOCAL/devout/ && test -z "$(RSYNC -aHAXDni --delete ./ rootssh@gw:LOCAL/devout/)"`,
	} {
		line = steps.Replace(line)
		if r := do(t, exec.Command("bash", "-c", line)); r.code != 0 {
			t.Errorf("%s\nexit %d: %s%s", line, r.code, r.out, r.err)
		}
	}
}

// Git beyond clone and push: shallow and deepened, submodules, archives.
func TestGitsWays(t *testing.T) {
	far, local := farDir(t, "web1"), t.TempDir()
	script := `set -e; cd LOCAL; export GIT_SSH_COMMAND="ssh -F CONF" HOME=LOCAL GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
ssh -F CONF web1@gw 'cd FAR; for r in repo sub; do git init -q --bare -b main $r.git; done'
git init -q -b main w; cd w; for i in 1 2 3 4 5 6; do echo $i >f; git add f; git commit -qm c$i; done; git push -q web1@gw:FAR/sub.git main
git submodule --quiet add web1@gw:FAR/sub.git sub; git commit -qm sub; git push -q ssh://web1@gw/FAR/repo.git main; cd ..
git clone -q --recurse-submodules web1@gw:FAR/repo.git all; cmp w/f all/sub/f
git clone -q --depth 1 ssh://web1@gw/FAR/repo.git shallow; cd shallow; test $(git log --oneline | wc -l) = 1
git fetch -q --depth 3; test $(git log --oneline origin/main | wc -l) = 3; git fetch -q --unshallow; test $(git log --oneline origin/main | wc -l) = 7; cd ..
git archive --remote=web1@gw:FAR/repo.git main | tar t | grep -q '^f$'
! git ls-remote web1@gw:FAR/none.git 2>err; grep -q 'does not appear to be a git repository' err`
	script = strings.NewReplacer("LOCAL", local, "FAR", far, "CONF", b.Path("ssh_config")).Replace(script)
	ok(t, exec.Command("bash", "-c", script))
}
