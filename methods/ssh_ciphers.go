package methods

import (
	"context"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/cpu"
)

// AES-GCM moves twice as much per second as what OpenSSH takes first by default, where the processor has AES.
var gcm = []string{"aes128-gcm@openssh.com", "aes256-gcm@openssh.com"}

// defaultCiphers remembers what each ssh program takes without any configuration: path → []string.
var defaultCiphers sync.Map

// sshCiphers is the cipher list for the connection that argv describes: the defaults with AES-GCM in front, or nil to leave
// it to ssh. ssh -G tells what the user's and the system's configuration come to; where that is not the default, somebody has chosen.
func sshCiphers(ctx context.Context, argv []string) []string {
	if !hasAES() {
		return nil
	}
	plain := unconfiguredCiphers(ctx, argv[0])
	if plain == nil || !slices.Equal(plain, effectiveCiphers(ctx, argv[0], argv[1:])) {
		return nil
	}
	var front, back []string
	for _, c := range plain {
		if slices.Contains(gcm, c) {
			front = append(front, c)
		} else {
			back = append(back, c)
		}
	}
	return append(front, back...)
}

func unconfiguredCiphers(ctx context.Context, path string) []string {
	if known, ok := defaultCiphers.Load(path); ok {
		return known.([]string)
	}
	list := effectiveCiphers(ctx, path, []string{"-F", "none", "localhost"})
	if list != nil {
		defaultCiphers.Store(path, list)
	}
	return list
}

// effectiveCiphers asks ssh, which connects nowhere for this; nil if it does not answer.
func effectiveCiphers(ctx context.Context, path string, args []string) []string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, append([]string{"-G"}, args...)...)
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := cmd.Output()
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(out)) {
		if list, ok := strings.CutPrefix(strings.TrimSpace(line), "ciphers "); ok {
			return strings.Split(list, ",")
		}
	}
	return nil
}

func hasAES() bool {
	return cpu.X86.HasAES && cpu.X86.HasPCLMULQDQ || cpu.ARM64.HasAES && cpu.ARM64.HasPMULL || cpu.S390X.HasAES
}
