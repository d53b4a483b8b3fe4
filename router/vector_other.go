//go:build !linux || race

package router

import "syscall"

// writev and readv use the first buffer: not all systems have the calls within reach, and the race detector has to hear of
// what goes through a descriptor.

func writev(fd int, pieces [][]byte) (int, error) { return syscall.Write(fd, pieces[0]) }

func readv(fd int, bufs [][]byte) (int, error) { return syscall.Read(fd, bufs[0]) }
