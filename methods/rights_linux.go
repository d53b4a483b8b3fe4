package methods

import "golang.org/x/sys/unix"

// refuseRights has the kernel refuse descriptors sent along with a link's bytes (Linux 6.16). Nobody reads them, but whoever drops the last
// reference to one closes it: an agent could have us wait in close for a socket that lingers. Older kernels know no such bar.
func refuseRights(fd int) { _ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSRIGHTS, 0) }
