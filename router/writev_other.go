//go:build !linux

package router

import "syscall"

// writev writes the first piece: not all systems have the call within reach.
func writev(fd int, pieces [][]byte) (int, error) { return syscall.Write(fd, pieces[0]) }

func readv(fd int, bufs [][]byte) (int, error) { return syscall.Read(fd, bufs[0]) }
