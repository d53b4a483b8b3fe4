package agent

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// killUnlessNohup kills the members of a process group that do not ignore SIGHUP.
func killUnlessNohup(group int) {
	proc, err := os.Open("/proc")
	if err != nil {
		_ = syscall.Kill(-group, syscall.SIGKILL)
		return
	}
	defer proc.Close()
	names, _ := proc.Readdirnames(-1)
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || !inGroup(name, group) || ignoresHangup(name) {
			continue
		}
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// inGroup reads the fifth field of stat; the second is a name, in brackets, and may hold anything.
func inGroup(pid string, group int) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return false
	}
	text := string(stat)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	return len(fields) > 2 && fields[2] == strconv.Itoa(group)
}

func ignoresHangup(pid string) bool {
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(status), "\nSigIgn:")
	line, _, _ := strings.Cut(after, "\n")
	mask, err := strconv.ParseUint(strings.TrimSpace(line), 16, 64)
	return err == nil && mask&(1<<(uint(syscall.SIGHUP)-1)) != 0
}
