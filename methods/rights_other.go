//go:build !linux

package methods

// refuseRights does nothing: only Linux can.
func refuseRights(int) {}
