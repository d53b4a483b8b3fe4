package proxy

import (
	"regexp"
	"strings"
	"testing"
)

// What clients that know of bugs by the name of a server look for; none of it may be us.
var clientsBugs = map[string]string{
	"OpenSSH":  `OpenSSH_[0-9]`,
	"paramiko": `-OpenSSH_(?:[1-6]|7\.[0-7])`,
	"PuTTY":    `OpenSSH_([2-6]\.|\[)`,
	"libssh":   `OpenSSH_[ +]*[0-9]+`, // the number it parses; without one it assumes nothing
}

func TestVersionLine(t *testing.T) {
	for _, version := range []string{"dev", "(devel)", "v1.2.3", "v0.0.0-20260102-abc"} {
		line, err := versionLine(version)
		if err != nil {
			t.Fatal(err)
		}
		software := strings.TrimPrefix(line, "SSH-2.0-")
		if !strings.HasPrefix(software, "OpenSSH") || strings.Contains(software, "-") {
			t.Errorf("%q", line)
		}
		for client, bugs := range clientsBugs {
			if regexp.MustCompile(bugs).MatchString(line) {
				t.Errorf("%s takes %q for a server with bugs", client, line)
			}
		}
	}
	for _, version := range []string{"1 2", "1\r\n2", "é", strings.Repeat("1", maxVersion)} {
		if line, err := versionLine(version); err == nil {
			t.Errorf("%q is taken: %q", version, line)
		}
	}
}
