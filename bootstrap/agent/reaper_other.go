//go:build unix && !linux

package agent

// canLook: the call is not within reach. What a program has left behind when it ended is not hung up then.
const canLook = false

func hasEnded(int) bool { return false }
