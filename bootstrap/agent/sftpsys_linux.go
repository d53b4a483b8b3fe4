package agent

import (
	"syscall"

	"golang.org/x/sys/unix"
)

func accessTime(st *syscall.Stat_t) uint32 { return uint32(st.Atim.Sec) }

// statvfs gives the eleven numbers of the statvfs@openssh.com answer.
func statvfs(name string) ([11]uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(name, &st); err != nil {
		return [11]uint64{}, err
	}
	fsid := uint64(uint32(st.Fsid.Val[0])) | uint64(uint32(st.Fsid.Val[1]))<<32
	return [11]uint64{
		uint64(st.Bsize), uint64(st.Frsize), st.Blocks, st.Bfree, st.Bavail,
		st.Files, st.Ffree, st.Ffree, fsid, uint64(st.Flags) & 3, uint64(st.Namelen),
	}, nil
}
