package integration

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// regressDir is where Debian's openssh-tests has OpenSSH's own regression tests.
const regressDir = "/usr/lib/openssh/regress"

// regressPrelude is what their scripts expect around them (test-exec.sh), with the gateway in the place of sshd, and $OBJ in that of a build.
const regressPrelude = `
PORT=$2 SSH=ssh REAL_SSH=ssh SFTP=sftp SCP=scp NC=$OBJ/netcat DATA=$OBJ/data COPY=$OBJ/copy SUDO= EXEEXT= RESULT=0
TEST_REGRESS_LOGFILE=$OBJ/regress.log TEST_SSH_LOGFILE=$OBJ/ssh.log TEST_SSHD_LOGFILE=$OBJ/sshd.log
trace() { echo "trace: $*" >>$TEST_REGRESS_LOGFILE; }
verbose() { echo "trace: $*" >>$TEST_REGRESS_LOGFILE; }
fail() { echo "FAIL: $*"; }
fatal() { echo "FATAL: $*"; exit 1; }
make_tmpdir() { SSH_REGRESS_TMP=$(mktemp -d $OBJ/tmp-XXXXXXXX) || fatal mktemp; }
config_defined() { grep -E "^#define.*($1)" ` + regressDir + `/config.h >/dev/null 2>&1; }
md5() { md5sum; }
start_sshd() { :; }
stop_sshd() { :; }
maybe_add_scp_path_to_sshd() { :; }
trap '[ -z "$SSH_PID" ] || kill $SSH_PID 2>/dev/null' EXIT
cp /bin/ls $DATA
cp $OBJ/ssh_config $OBJ/ssh_proxy
sed 's/sleep [23];/sleep 0.2;/g; s/sleep 10;/sleep 2;/' "$1" >$OBJ/script # the ten longest pauses of multiplex.sh
. $OBJ/script
`

// OpenSSH's own scripts, through the gateway. What fails in them is a line.
func TestOpenSSHsOwnTests(t *testing.T) {
	for script, expected := range map[string][]string{
		"connect.sh":          nil,
		"exit-status.sh":      nil,
		"stderr-after-eof.sh": nil,
		"stderr-data.sh":      nil,
		"transfer.sh":         nil,
		"yes-head.sh":         nil,
		"forwarding.sh":       nil,
		"dynamic-forward.sh":  nil,
		// A variable that this gateway does not take.
		"multiplex.sh": {"FAIL: environment not found", "FAIL: environment not found"},
	} {
		t.Run(script, func(t *testing.T) {
			obj := t.TempDir()
			ok(t, exec.Command("cp", tool(t, regressDir+"/netcat"), obj))
			config := fmt.Sprintf("Host *\n  HostName 127.0.0.1\n  Port %d\n  User local\n  IdentityFile %s\n  IdentitiesOnly yes\n  BatchMode yes\n"+
				"  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n", b.GWPort, b.Path("id"))
			if err := writeFile(obj+"/ssh_config", config); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("sh", "-c", regressPrelude, "sh", regressDir+"/"+script, fmt.Sprint(b.GWPort))
			cmd.Env = append(os.Environ(), "OBJ="+obj)
			r := do(t, cmd)
			var failed []string
			for line := range strings.Lines(r.out) {
				if line = strings.TrimSpace(line); strings.HasPrefix(line, "FA") {
					failed = append(failed, line)
				}
			}
			if r.code != 0 || !slices.Equal(failed, expected) {
				log, _ := os.ReadFile(obj + "/regress.log")
				t.Errorf("exit %d, %q\nstdout: %s\nstderr: %s\n%s", r.code, failed, r.out, r.err, log)
			}
			t.Logf("took %v", r.took)
		})
	}
}
