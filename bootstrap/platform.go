package bootstrap

import (
	"runtime"
	"strings"
)

// Platform is what `uname -sm` says, normalised: "linux/amd64", in Go's words for system and processor.
type Platform string

// Own is the platform of this process.
func Own() Platform { return Platform(runtime.GOOS + "/" + runtime.GOARCH) }

var systems = map[string]string{"Linux": "linux", "FreeBSD": "freebsd", "Darwin": "darwin"}

// parsePlatform normalises the output of `uname -sm` as the first stage does. What it does not know it
// leaves as it is.
func parsePlatform(uname string) Platform {
	system, cpu := uname, ""
	if i := strings.LastIndexByte(uname, ' '); i >= 0 {
		system, cpu = uname[:i], uname[i+1:]
	}
	if known, ok := systems[system]; ok {
		system = known
	}
	switch {
	case cpu == "x86_64":
		cpu = "amd64"
	case cpu == "aarch64":
		cpu = "arm64"
	case len(cpu) == 4 && cpu[0] == 'i' && cpu[1] >= '3' && cpu[1] <= '6' && cpu[2:] == "86":
		cpu = "386"
	case strings.HasPrefix(cpu, "armv6"), strings.HasPrefix(cpu, "armv7"), strings.HasPrefix(cpu, "armv8"):
		cpu = "arm"
	}
	return Platform(system + "/" + cpu)
}

// fileName is the name of an image for p without directory and digest: "fakessh-linux-amd64".
func (p Platform) fileName() string { return "fakessh-" + strings.Replace(string(p), "/", "-", 1) }

// valid reports whether p has the form OS/ARCH of lower-case words, so that it can be part of a file name.
func (p Platform) valid() bool {
	system, cpu, ok := strings.Cut(string(p), "/")
	return ok && plainWord(system) && plainWord(cpu)
}

func plainWord(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return s != "" && len(s) < 32
}
