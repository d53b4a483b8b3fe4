package methods

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Account is one line of passwd(5): whom setuid becomes, and who an agent's sessions run as.
type Account struct {
	Name        string
	UID, GID    int
	Home, Shell string
}

const (
	passwdFile = "/etc/passwd"
	groupFile  = "/etc/group"
)

// ParseAccount reads name:password:uid:gid:gecos:home:shell. An empty shell means /bin/sh, an empty home /.
func ParseAccount(line string) (Account, bool) {
	f := strings.Split(line, ":")
	if len(f) < 7 || f[0] == "" {
		return Account{}, false
	}
	uid, err1 := strconv.ParseUint(f[2], 10, 32)
	gid, err2 := strconv.ParseUint(f[3], 10, 32)
	if err1 != nil || err2 != nil {
		return Account{}, false
	}
	a := Account{Name: f[0], UID: int(uid), GID: int(gid), Home: f[5], Shell: f[6]}
	if a.Home == "" {
		a.Home = "/"
	}
	if a.Shell == "" {
		a.Shell = "/bin/sh"
	}
	return a, true
}

// accountLines yields the accounts of a passwd(5) text. Lines it cannot read are skipped, as libc does.
func accountLines(r io.Reader) func(yield func(Account) bool) {
	return func(yield func(Account) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(make([]byte, 4096), 64<<10)
		for lines.Scan() {
			if a, ok := ParseAccount(lines.Text()); ok && !yield(a) {
				return
			}
		}
	}
}

// AccountNamed finds an account by name: in /etc/passwd, else by the name services.
func AccountNamed(ctx context.Context, name string) (Account, bool) {
	if name == "" || strings.HasPrefix(name, "-") || strings.ContainsAny(name, ":\n") {
		return Account{}, false
	}
	if f, err := os.Open(passwdFile); err == nil {
		defer f.Close()
		for a := range accountLines(f) {
			if a.Name == name {
				return a, true
			}
		}
	}
	return askNameService(ctx, name, func(a Account) bool { return a.Name == name })
}

// AccountInFile finds the account of uid in /etc/passwd. Where several names share it, the preferred one wins, else the first.
func AccountInFile(uid int, preferred string) (Account, bool) {
	f, err := os.Open(passwdFile)
	if err != nil {
		return Account{}, false
	}
	defer f.Close()
	return accountOf(f, uid, preferred)
}

func accountOf(r io.Reader, uid int, preferred string) (first Account, found bool) {
	for a := range accountLines(r) {
		switch {
		case a.UID != uid:
		case a.Name == preferred:
			return a, true
		case !found:
			first, found = a, true
		}
	}
	return first, found
}

// AskAccount asks the name services for the account of uid.
func AskAccount(ctx context.Context, uid int) (Account, bool) {
	return askNameService(ctx, strconv.Itoa(uid), func(a Account) bool { return a.UID == uid })
}

// askNameService asks getent(1), or id -P where accounts live in a directory service: a static program cannot load their modules.
func askNameService(ctx context.Context, key string, matches func(Account) bool) (Account, bool) {
	for _, argv := range [][]string{{"getent", "passwd", key}, {"id", "-P", key}} {
		text, err := systemOutput(ctx, argv)
		if err != nil {
			continue
		}
		for a := range accountLines(strings.NewReader(bsdLine(text))) {
			if matches(a) {
				return a, true
			}
		}
	}
	return Account{}, false
}

// bsdLine turns the ten fields of BSD's id -P (class, change and expire in the middle) into seven.
func bsdLine(line string) string {
	f := strings.Split(strings.TrimSpace(line), ":")
	if len(f) != 10 {
		return line
	}
	return strings.Join(append(f[:4:4], f[7:]...), ":")
}

// groupsOf are the groups that initgroups(3) would give: from id(1), which knows all sources, or else from /etc/group.
func groupsOf(ctx context.Context, a Account) []uint32 {
	ids := []uint32{uint32(a.GID)}
	if text, err := systemOutput(ctx, []string{"id", "-G", a.Name}); err == nil {
		return appendIDs(ids, text)
	}
	f, err := os.Open(groupFile)
	if err != nil {
		return ids
	}
	defer f.Close()
	return appendIDs(ids, memberships(f, a.Name))
}

// memberships lists the ids of the groups in a group(5) text that name is a member of.
func memberships(r io.Reader, name string) (ids string) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20) // some groups have everybody in them
	for lines.Scan() {
		f := strings.Split(lines.Text(), ":")
		if len(f) == 4 && strings.Contains(","+f[3]+",", ","+name+",") {
			ids += f[2] + " "
		}
	}
	return ids
}

// appendIDs appends the numbers in text that are not there yet; what is no number is left out.
func appendIDs(ids []uint32, text string) []uint32 {
	seen := map[uint32]bool{ids[0]: true}
	for _, word := range strings.Fields(text) {
		if id, err := strconv.ParseUint(word, 10, 32); err == nil && !seen[uint32(id)] {
			seen[uint32(id)] = true
			ids = append(ids, uint32(id))
		}
	}
	return ids
}

// systemPath is where the system's own tools are looked for, whatever the agent's PATH is.
const systemPath = "/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin"

// systemOutput runs one of the system's tools and returns its first 64 KiB; 5 s are enough for a directory server that answers at all.
func systemOutput(ctx context.Context, argv []string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	program, err := argv[0], error(nil)
	for _, dir := range filepath.SplitList(systemPath) {
		if program, err = exec.LookPath(filepath.Join(dir, argv[0])); err == nil {
			break
		}
	}
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, program, argv[1:]...)
	cmd.WaitDelay = time.Second
	cmd.Env = []string{"PATH=" + systemPath}
	out, err := cmd.Output()
	return string(out[:min(len(out), 64<<10)]), err
}
