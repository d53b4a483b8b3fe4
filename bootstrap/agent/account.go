package agent

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"
)

// account is one line of passwd(5): who sessions run as.
type account struct {
	Name        string
	UID, GID    int
	Home, Shell string
}

const passwdFile = "/etc/passwd"

// parsePasswdLine reads name:password:uid:gid:gecos:home:shell. An empty shell means
// /bin/sh, an empty home /.
func parsePasswdLine(line string) (account, error) {
	f := strings.Split(line, ":")
	if len(f) < 7 || f[0] == "" {
		return account{}, errors.New("malformed passwd line")
	}
	uid, err := strconv.ParseUint(f[2], 10, 32)
	if err != nil {
		return account{}, errors.New("malformed uid")
	}
	gid, err := strconv.ParseUint(f[3], 10, 32)
	if err != nil {
		return account{}, errors.New("malformed gid")
	}
	a := account{Name: f[0], UID: int(uid), GID: int(gid), Home: f[5], Shell: f[6]}
	if a.Home == "" {
		a.Home = "/"
	}
	if a.Shell == "" {
		a.Shell = "/bin/sh"
	}
	return a, nil
}

// passwdLines yields the accounts of a passwd(5) text. Lines it cannot read are skipped, as libc does.
func passwdLines(r io.Reader) func(yield func(account) bool) {
	return func(yield func(account) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(make([]byte, 4096), 64<<10)
		for lines.Scan() {
			if a, err := parsePasswdLine(lines.Text()); err == nil && !yield(a) {
				return
			}
		}
	}
}

// findAccount searches for uid. Where several names share it, the preferred one wins, else the first.
func findAccount(r io.Reader, uid int, preferred string) (account, bool) {
	var first account
	found := false
	for a := range passwdLines(r) {
		if a.UID != uid {
			continue
		}
		if a.Name == preferred {
			return a, true
		}
		if !found {
			first, found = a, true
		}
	}
	return first, found
}

// accountNamed finds an account by name: in /etc/passwd, else by the name services.
func accountNamed(name string) (account, bool) {
	if name == "" || strings.HasPrefix(name, "-") || strings.ContainsAny(name, ":\n") {
		return account{}, false
	}
	if f, err := os.Open(passwdFile); err == nil {
		defer f.Close()
		for a := range passwdLines(f) {
			if a.Name == name {
				return a, true
			}
		}
	}
	return askNameService(name, func(a account) bool { return a.Name == name })
}

// accounts finds the account that this process runs as.
type accounts struct {
	mu     sync.Mutex
	cached account // what getent said
	until  time.Time
}

// current is the account of the effective uid: from /etc/passwd, else from the name
// services by their own tool (a static program cannot load them), else made up, since
// container roots often have no passwd file at all.
func (as *accounts) current() account {
	uid := os.Geteuid()
	preferred := os.Getenv("LOGNAME")
	if f, err := os.Open(passwdFile); err == nil {
		a, ok := findAccount(f, uid, preferred)
		f.Close()
		if ok {
			return a
		}
	}
	if a, ok := as.fromNameService(uid); ok {
		return a
	}
	return madeUp(uid)
}

// madeUp is the account of a uid that nobody knows.
func madeUp(uid int) account {
	name := strconv.Itoa(uid)
	if uid == 0 {
		name = "root"
	}
	return account{Name: name, UID: uid, GID: os.Getegid(), Home: "/", Shell: "/bin/sh"}
}

// nameServiceAge is how long an answer of the name services is believed: they may be
// a network away, and every session asks.
const nameServiceAge = time.Minute

func (as *accounts) fromNameService(uid int) (account, bool) {
	as.mu.Lock()
	defer as.mu.Unlock()
	now := time.Now()
	if now.Before(as.until) {
		return as.cached, as.cached.Name != ""
	}
	a, ok := askNameService(strconv.Itoa(uid), func(a account) bool { return a.UID == uid })
	as.cached, as.until = a, now.Add(nameServiceAge)
	return a, ok
}

// askNameService asks getent(1), or id -P where accounts live in a directory service.
func askNameService(key string, matches func(account) bool) (account, bool) {
	for _, argv := range [][]string{{"getent", "passwd", key}, {"id", "-P", key}} {
		text, err := output(argv)
		if err != nil {
			continue
		}
		for a := range passwdLines(strings.NewReader(bsdLine(text))) {
			if matches(a) {
				return a, true
			}
		}
	}
	return account{}, false
}

// bsdLine turns the ten fields of BSD's id -P (class, change and expire in the middle) into seven.
func bsdLine(line string) string {
	f := strings.Split(strings.TrimSpace(line), ":")
	if len(f) != 10 {
		return line
	}
	return strings.Join(append(f[:4:4], f[7:]...), ":")
}

// output runs argv and returns its first 64 KiB; 5 s are enough for a directory server that answers at all.
func output(argv []string) (string, error) {
	name, err := lookPath(argv[0], defaultPath(0), "/")
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, argv[1:]...)
	cmd.WaitDelay = time.Second
	cmd.Env = []string{"PATH=" + defaultPath(0)}
	out, err := cmd.Output()
	return string(out[:min(len(out), 64<<10)]), err
}

var errNotFound = errors.New("command not found")

// lookPath finds name as execvp(3) would, with dir as the working directory for relative names.
func lookPath(name, searchPath, dir string) (string, error) {
	if strings.IndexByte(name, '/') >= 0 {
		return name, executable(inDir(dir, name))
	}
	denied := error(nil)
	for _, d := range strings.Split(searchPath, ":") {
		if d == "" {
			d = "."
		}
		full := path.Join(d, name)
		err := executable(inDir(dir, full))
		if err == nil {
			return full, nil
		}
		if os.IsPermission(err) {
			denied = err
		}
	}
	if denied != nil {
		return "", denied
	}
	return "", errNotFound
}

func inDir(dir, name string) string {
	if path.IsAbs(name) {
		return name
	}
	return path.Join(dir, name)
}

func executable(name string) error {
	st, err := os.Stat(name)
	switch {
	case err != nil:
		return errNotFound
	case st.IsDir() || st.Mode()&0o111 == 0:
		return os.ErrPermission
	}
	return nil
}
