//go:build !linux || race

package router

// The race detector has to hear of what goes through a descriptor.

func ownWritev(fd int, pieces [][]byte) (int, error) { return writev(fd, pieces) }

func ownReadv(fd int, bufs [][]byte) (int, error) { return readv(fd, bufs) }
