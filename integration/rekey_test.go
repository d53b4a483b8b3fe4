package integration

import (
	"bytes"
	"crypto/sha256"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Keys change a hundred times and more, in both handshakes of a jump, while bytes go both ways.
func TestRekeyingUnderLoad(t *testing.T) {
	const size = 100_000_000
	text, err := os.ReadFile(b.Path("ssh_config"))
	if err != nil {
		t.Fatal(err)
	}
	config := t.TempDir() + "/ssh_config"
	if err := writeFile(config, string(text)+"Host *\n  RekeyLimit 1M\n"); err != nil {
		t.Fatal(err)
	}
	for _, dest := range []string{"local@gw", "web1@gw", "-J gw ann@local", "-J gw ann@web1"} {
		t.Run(dest, func(t *testing.T) {
			sent, received := sha256.New(), sha256.New()
			var stderr bytes.Buffer
			args := append([]string{"-v", "-F", config}, strings.Fields(dest)...)
			cmd := exec.Command("ssh", append(args, "cat; exit 4")...)
			cmd.Stdin, cmd.Stdout, cmd.Stderr = io.TeeReader(random(size), sent), received, &stderr
			if cmd.Run(); cmd.ProcessState.ExitCode() != 4 {
				t.Errorf("%v: %s", cmd.ProcessState, tail(stderr.String()))
			}
			if !bytes.Equal(sent.Sum(nil), received.Sum(nil)) {
				t.Error("the output is not the input")
			}
			connections := 1 + strings.Count(dest, "-J")
			if n := strings.Count(stderr.String(), "SSH2_MSG_NEWKEYS received"); n < connections*size>>20/2 {
				t.Errorf("only %d times new keys", n)
			}
		})
	}
}
