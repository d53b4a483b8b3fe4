package agent

// The search paths and the mail folder that Debian compiles into sshd.
const (
	mailDir  = "/var/mail/"
	userPath = "/usr/local/bin:/usr/bin:/bin:/usr/games"
	rootPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// envFiles are what PAM reads for sshd on Debian.
var envFiles = []string{"/etc/environment", "/etc/default/locale"}

func defaultPath(uid int) string {
	if uid == 0 {
		return rootPath
	}
	return userPath
}
