package methods

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// account is a line of passwd, with the groups that initgroups would give.
type account struct {
	name        string
	uid, gid    uint32
	groups      []uint32
	home, shell string
}

// findAccount looks name up in /etc/passwd, and asks getent for those that live elsewhere. Groups come
// from id, which knows all sources, or from /etc/group. The error is *AccountError where there is no such account.
func findAccount(ctx context.Context, name string) (account, error) {
	acc, ok := passwdFile("/etc/passwd", name)
	if !ok {
		line, err := exec.CommandContext(ctx, "getent", "passwd", name).Output()
		if acc, ok = parsePasswd(strings.TrimSpace(string(line))); err != nil || !ok || acc.name != name {
			return account{}, &AccountError{Name: name}
		}
	}
	if out, err := exec.CommandContext(ctx, "id", "-G", name).Output(); err == nil {
		acc.groups = parseIDs(string(out))
	} else {
		acc.groups = groupFile("/etc/group", name)
	}
	if !slices.Contains(acc.groups, acc.gid) {
		acc.groups = append([]uint32{acc.gid}, acc.groups...)
	}
	return acc, nil
}

func passwdFile(path, name string) (account, bool) {
	f, err := os.Open(path)
	if err != nil {
		return account{}, false
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if acc, ok := parsePasswd(lines.Text()); ok && acc.name == name {
			return acc, true
		}
	}
	return account{}, false
}

// parsePasswd reads one line of passwd(5).
func parsePasswd(line string) (account, bool) {
	field := strings.Split(line, ":")
	if len(field) != 7 || field[0] == "" {
		return account{}, false
	}
	uid, err1 := strconv.ParseUint(field[2], 10, 32)
	gid, err2 := strconv.ParseUint(field[3], 10, 32)
	if err1 != nil || err2 != nil {
		return account{}, false
	}
	acc := account{name: field[0], uid: uint32(uid), gid: uint32(gid), home: field[5], shell: field[6]}
	if acc.home == "" {
		acc.home = "/"
	}
	if acc.shell == "" {
		acc.shell = "/bin/sh"
	}
	return acc, true
}

// groupFile lists the groups of group(5) that name is a member of.
func groupFile(path, name string) (ids []uint32) {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20) // some groups have everybody in them
	for lines.Scan() {
		field := strings.Split(lines.Text(), ":")
		if len(field) == 4 && slices.Contains(strings.Split(field[3], ","), name) {
			ids = append(ids, parseIDs(field[2])...)
		}
	}
	return ids
}

// parseIDs reads numbers with blanks between; what is none is left out.
func parseIDs(text string) (ids []uint32) {
	for _, word := range strings.Fields(text) {
		if id, err := strconv.ParseUint(word, 10, 32); err == nil {
			ids = append(ids, uint32(id))
		}
	}
	return ids
}
