package agent

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// bound is an address that is listened on: of TCP by one socket for each family.
type bound struct {
	lns  []net.Listener
	port int         // of TCP
	path string      // of a unix socket,
	file fs.FileInfo // which is this file
}

// bind listens on address. The TCP hosts are "127.0.0.1", "::1", and "localhost" for both.
func bind(network, address string) (*bound, error) {
	switch network {
	case "tcp":
		host, text, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return nil, err
		}
		return bindTCP(host, int(port))
	case "unix":
		return bindUnix(address)
	}
	return nil, errors.New("unknown network " + network)
}

// loopbacks are the hosts that may be listened on.
var loopbacks = map[string][]string{"127.0.0.1": {"127.0.0.1"}, "::1": {"::1"}, "localhost": {"127.0.0.1", "::1"}}

// portTries is how often a port that one family has given, and another has in use, is exchanged for another.
const portTries = 16

func bindTCP(host string, port int) (b *bound, err error) {
	hosts := loopbacks[host]
	if hosts == nil {
		return nil, errors.New("not a loopback address: " + host)
	}
	for range portTries {
		if b, err = bindAll(hosts, port); err == nil || port != 0 || !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return b, err
}

// bindAll listens on every one of hosts that this system has, on the same port.
func bindAll(hosts []string, port int) (*bound, error) {
	b := &bound{port: port}
	var absent error
	for _, host := range hosts {
		ln, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(b.port)))
		switch {
		case err == nil:
			b.lns = append(b.lns, ln)
			b.port = ln.Addr().(*net.TCPAddr).Port
		case errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EAFNOSUPPORT):
			absent = err
		default:
			b.close()
			return nil, err
		}
	}
	if len(b.lns) == 0 {
		return nil, absent
	}
	return b, nil
}

const socketMode = 0o600

// bindUnix makes a socket that only the account can connect to.
func bindUnix(path string) (*bound, error) {
	if strings.HasPrefix(path, "@") {
		path = "./" + path // which would be an abstract one, with no mode at all
	}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		// What is made has this mode from the beginning, on Linux; elsewhere, for a moment, what the umask leaves.
		return c.Control(func(fd uintptr) { _ = unix.Fchmod(int(fd), socketMode) })
	}}
	ln, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	b := &bound{lns: []net.Listener{ln}, path: path}
	if b.file, err = os.Lstat(path); err == nil && b.file.Mode().Perm() != socketMode {
		err = os.Chmod(path, socketMode)
	}
	if err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// has reports whether address is, or may be, among what b listens on.
func (b *bound) has(network, address string) bool {
	if network == "unix" {
		return b.path == address
	}
	_, port, err := net.SplitHostPort(address)
	return err == nil && port == strconv.Itoa(b.port)
}

// close frees the address. A file that has taken the socket's place stays.
func (b *bound) close() {
	for _, ln := range b.lns {
		ln.Close()
	}
	if b.file == nil {
		return
	}
	if now, err := os.Lstat(b.path); err == nil && os.SameFile(now, b.file) {
		os.Remove(b.path)
	}
}
