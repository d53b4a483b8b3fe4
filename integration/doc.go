// Package integration drives fakesshd with the real programs: ssh, scp, sftp, rsync and git, through sshd, sudo and
// containers of the test bed (integration/bed). It needs root and bin/fakesshd; under CI a missing piece is a failure.
package integration
