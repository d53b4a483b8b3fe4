//go:build freebsd || darwin

package fakessh

import "golang.org/x/sys/unix"

// solLocal is SOL_LOCAL: socket options of unix sockets.
const solLocal = 0

// socketPeer is who is at the other end of the unix socket fd, but for its pid.
func socketPeer(fd int) (Peer, error) {
	cred, err := unix.GetsockoptXucred(fd, solLocal, unix.LOCAL_PEERCRED)
	if err != nil {
		return Peer{}, err
	}
	return Peer{UID: int(cred.Uid), GID: int(cred.Groups[0])}, nil
}
