package agent

import "golang.org/x/sys/unix"

func flagBits[T uint32 | uint64 | int](v T) uint64 { return uint64(v) }

func setOutputSpeed(t *unix.Termios, bps uint32) { t.Ospeed = uint64(bps) }
func setInputSpeed(t *unix.Termios, bps uint32)  { t.Ispeed = uint64(bps) }
