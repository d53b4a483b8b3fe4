package agent

import "golang.org/x/sys/unix"

func flagBits[T uint32 | uint64 | int](v T) uint32 { return uint32(v) }

func setOutputSpeed(t *unix.Termios, bps uint32) { t.Ospeed = bps }
func setInputSpeed(t *unix.Termios, bps uint32)  { t.Ispeed = bps }
