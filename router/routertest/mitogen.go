package routertest

import (
	"os"
	"os/exec"
	"testing"
)

// Mitogen is a Python that has the real Mitogen, Debian's.
func Mitogen(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("starts Python")
	}
	for _, name := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(name, "-c", "import mitogen.master").Run() == nil {
			return name
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatal("python3-mitogen is missing")
	}
	t.Skip("python3-mitogen is missing")
	return ""
}
