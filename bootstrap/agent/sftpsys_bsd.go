//go:build unix && !linux

package agent

import (
	"syscall"

	"golang.org/x/sys/unix"
)

func accessTime(st *syscall.Stat_t) uint32 { return uint32(st.Atimespec.Sec) }

// nameMax is NAME_MAX of every file system these systems have.
const nameMax = 255

// statvfs gives the eleven numbers of the statvfs@openssh.com answer.
func statvfs(name string) ([11]uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(name, &st); err != nil {
		return [11]uint64{}, err
	}
	fsid := uint64(uint32(st.Fsid.Val[0])) | uint64(uint32(st.Fsid.Val[1]))<<32
	flags := uint64(0)
	if st.Flags&unix.MNT_RDONLY != 0 {
		flags |= 1
	}
	if st.Flags&unix.MNT_NOSUID != 0 {
		flags |= 2
	}
	return [11]uint64{
		uint64(st.Bsize), uint64(st.Bsize), uint64(st.Blocks), uint64(st.Bfree), uint64(st.Bavail),
		uint64(st.Files), uint64(st.Ffree), uint64(st.Ffree), fsid, flags, nameMax,
	}, nil
}
