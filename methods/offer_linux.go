package methods

import (
	"context"
	"crypto/subtle"
	"errors"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"fakessh/bootstrap"
)

// acceptOffer finds the agent's socket, sends it one end of a new link and waits for its answer on that. It needs the right to trace
// the agent. Nothing is done to a socket but to look at it before the token has been seen; and only our own is ever waited for.
func acceptOffer(ctx context.Context, offer *bootstrap.Offer) (*net.UnixConn, error) {
	pid, err := findProcess(ctx, offer)
	if err != nil {
		return nil, err
	}
	sock, err := copyDescriptor(pid, offer.FD)
	if err != nil {
		return nil, err
	}
	defer unix.Close(sock)
	if err := checkToken(sock, offer.Token); err != nil {
		return nil, err
	}
	return sendLink(ctx, sock)
}

// findProcess returns what number the process PID of the pid namespace PIDNS has in ours. The youngest are looked at first: it is one of these.
func findProcess(ctx context.Context, offer *bootstrap.Offer) (int, error) {
	if pidNamespace("/proc/self") == offer.PIDNS {
		return offer.PID, nil
	}
	proc, err := os.Open("/proc")
	if err != nil {
		return 0, err
	}
	names, err := proc.Readdirnames(-1)
	proc.Close()
	if err != nil {
		return 0, err
	}
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	for _, pid := range slices.Backward(pids) {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		dir := "/proc/" + strconv.Itoa(pid)
		if pidNamespace(dir) == offer.PIDNS && innerPID(dir) == offer.PID {
			return pid, nil
		}
	}
	return 0, errors.New("the agent's process is not in sight")
}

// pidNamespace is the number of the namespace a process is in, 0 if that is not for us to know.
func pidNamespace(dir string) uint64 {
	var st unix.Stat_t
	if unix.Stat(dir+"/ns/pid", &st) != nil {
		return 0
	}
	return st.Ino
}

// innerPID is the number that a process has in its own pid namespace, 0 if that is not to be known.
func innerPID(dir string) int {
	status, _ := os.ReadFile(dir + "/status")
	_, line, _ := strings.Cut(string(status), "\nNSpid:")
	line, _, _ = strings.Cut(line, "\n")
	numbers := strings.Fields(line)
	if len(numbers) == 0 {
		return 0
	}
	pid, _ := strconv.Atoi(numbers[len(numbers)-1])
	return pid
}

// copyDescriptor duplicates a socket of another process.
func copyDescriptor(pid, fd int) (int, error) {
	what, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/fd/" + strconv.Itoa(fd))
	if err != nil || !strings.HasPrefix(what, "socket:[") {
		return -1, errNoSocket // closing a copy of something else may wait, for instance for a file system
	}
	p, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return -1, os.NewSyscallError("pidfd_open", err)
	}
	defer unix.Close(p)
	own, err := unix.PidfdGetfd(p, fd, 0) // it is close-on-exec
	if err != nil {
		return -1, os.NewSyscallError("pidfd_getfd", err)
	}
	return own, nil
}

var errNoSocket = errors.New("the agent offers something else than such a socket")

// checkToken says whether sock is a unix socket where exactly the token waits. It reads without taking away.
func checkToken(sock int, token [bootstrap.TokenSize]byte) error {
	for option, want := range map[int]int{unix.SO_DOMAIN: unix.AF_UNIX, unix.SO_TYPE: unix.SOCK_SEQPACKET} {
		if have, err := unix.GetsockoptInt(sock, unix.SOL_SOCKET, option); err != nil || have != want {
			return errNoSocket
		}
	}
	var buf [bootstrap.TokenSize + 1]byte
	n, _, err := unix.Recvfrom(sock, buf[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	if err != nil {
		return os.NewSyscallError("recvfrom", err)
	}
	if subtle.ConstantTimeCompare(buf[:max(n, 0)], token[:]) != 1 {
		return errors.New("the socket offered has another token")
	}
	return nil
}

// sendLink makes a link, sends its far end through sock, and returns the near one when the agent has taken the other.
func sendLink(ctx context.Context, sock int) (*net.UnixConn, error) {
	ours, theirs, err := newLink()
	if err != nil {
		return nil, err
	}
	err = unix.Sendmsg(sock, []byte{0}, unix.UnixRights(int(theirs.Fd())), nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	theirs.Close() // where the agent may not have it, its end shows at once
	if err != nil {
		ours.Close()
		return nil, os.NewSyscallError("sendmsg", err)
	}
	if err := awaitAnswer(ctx, ours); err != nil {
		ours.Close()
		return nil, errors.New("the agent does not take the socket: " + err.Error())
	}
	return ours, nil
}

// awaitAnswer reads the one byte with which the agent has the link, until ctx's deadline.
func awaitAnswer(ctx context.Context, link *net.UnixConn) error {
	deadline, _ := ctx.Deadline()
	if err := link.SetReadDeadline(deadline); err != nil {
		return err
	}
	var answer [1]byte
	switch n, err := link.Read(answer[:]); {
	case n == 1:
		return link.SetReadDeadline(time.Time{})
	case ended(err):
		return syscall.ECONNREFUSED
	default:
		return err
	}
}
