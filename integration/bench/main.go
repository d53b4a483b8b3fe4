// Command bench measures fakesshd against OpenSSH: alternating runs in one go, so that the ratios hold although the
// machine drifts. It needs root, bin/fakesshd, and a few GiB in /dev/shm.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"fakessh/integration/bed"
)

var (
	rounds = flag.Int("rounds", 3, "alternating rounds of every case")
	size   = flag.Int("mib", 1024, "size of the bulk file, MiB")
	only   = flag.String("only", "", "regular expression: only these groups")
)

func main() {
	flag.Parse()
	if err := bench(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench() error {
	b, err := bed.New("/dev/shm")
	if err != nil {
		return err
	}
	defer b.Close()
	for _, step := range []func() error{b.SSHD, b.Engine, b.Gateway} {
		if err := step(); err != nil {
			return err
		}
	}
	s, err := newSuite(b)
	if err != nil {
		return err
	}
	filter, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	for _, g := range s.groups() {
		if filter.MatchString(g.name) {
			g.measure(*rounds)
			g.print(os.Stdout)
		}
	}
	return nil
}

// suite knows the bed and the files that are moved.
type suite struct {
	*bed.Bed
	bulk, small, few string // a big file, 20,000 files, 2,000 files
}

func newSuite(b *bed.Bed) (*suite, error) {
	s := &suite{Bed: b, bulk: b.Path("data", "bulk"), small: b.Path("data", "small"), few: b.Path("data", "few")}
	if err := os.MkdirAll(filepath.Dir(s.bulk), 0o755); err != nil {
		return nil, err
	}
	if err := sh(fmt.Sprintf("head -c %dM /dev/urandom >%s", *size, s.bulk)); err != nil {
		return nil, err
	}
	if err := makeFiles(s.small, 200, 100); err != nil {
		return nil, err
	}
	if err := makeFiles(s.few, 20, 100); err != nil {
		return nil, err
	}
	return s, s.jumpConfig()
}

// jumpConfig names the sshd as hosts for the plain client: direct, and j, which is reached through it.
func (s *suite) jumpConfig() error {
	text := fmt.Sprintf(`Host direct jump
  HostName 127.0.0.1
  Port %d
  User %s
  UserKnownHostsFile %s
Host j
  HostName 127.0.0.1
  Port %d
  User %s
  UserKnownHostsFile %s
  ProxyJump jump
Host mux
  HostName 127.0.0.1
  Port %d
  User %s
  UserKnownHostsFile %s
Host gwmux
  HostName 127.0.0.1
  Port %d
  User web1
`, s.SSHDPort, bed.Ann, s.Path("known_hosts"), s.SSHDPort, bed.Ann, s.Path("known_hosts"),
		s.SSHDPort, bed.Ann, s.Path("known_hosts"), s.GWPort)
	base, err := os.ReadFile(s.Path("ssh_config"))
	if err != nil {
		return err
	}
	// The first value of an option wins in ssh_config, so the hosts come before "Host *".
	return os.WriteFile(s.Path("ssh_config"), append([]byte(text), base...), 0o644)
}

// makeFiles makes dirs directories of n files of 4 KiB.
func makeFiles(root string, dirs, n int) error {
	block := make([]byte, 4096)
	for d := range dirs {
		dir := filepath.Join(root, fmt.Sprintf("d%03d", d))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		for i := range n {
			block[0], block[1], block[2] = byte(d), byte(i), byte(i>>8)
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%04d", i)), block, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}
