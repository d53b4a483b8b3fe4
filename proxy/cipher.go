package proxy

import (
	"errors"
	"slices"
	"time"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/sys/cpu"
)

// In SSH the client's order of ciphers decides, and OpenSSH before 10 puts chacha20-poly1305 first, which costs nearly twice the
// time of AES-GCM where the processor has AES. So the client's offer is read before ours is made: where AES-GCM is in it, we offer
// nothing else. A client that has no AES-GCM is offered everything.

// secure are x/crypto's algorithms without its insecure ones: its default would take SHA-1 and DSA signatures of users and a key
// exchange with SHA-1, which OpenSSH's server has given up.
var secure = gossh.SupportedAlgorithms()

// algorithms is what to offer: everything secure, and these ciphers; nil: all.
func algorithms(ciphers []string) gossh.Config {
	return gossh.Config{KeyExchanges: secure.KeyExchanges, MACs: secure.MACs, Ciphers: ciphers}
}

// gcmCiphers is the offer to a client that has any of them.
var gcmCiphers = []string{gossh.CipherAES128GCM, gossh.CipherAES256GCM}

// fastAES reports whether the processor does AES and the multiplication of GCM.
var fastAES = cpu.X86.HasAES && cpu.X86.HasPCLMULQDQ || cpu.ARM64.HasAES && cpu.ARM64.HasPMULL || cpu.S390X.HasAESGCM

// kexWait is how long a client's KEXINIT is waited for once its version has come. One that waits for ours first (RFC 4253
// permits it) is then offered everything.
const kexWait = time.Second

// chooseCiphers reads the client's KEXINIT from t, leaving it to be read again, and returns the ciphers to offer; nil is
// x/crypto's own list. The version lines must have been exchanged: some clients wait for ours. An error is the connection's.
func chooseCiphers(t *transport) ([]string, error) {
	for {
		k, err := parseHello(t.peek)
		switch {
		case err == nil:
			return pickCiphers(k), nil
		case !errors.Is(err, errKexShort):
			return nil, nil // x/crypto says what is wrong with it
		}
		switch err := t.peekMore(maxVersionLine+maxKexPacket, kexWait); {
		case errors.Is(err, errPeekWait) || errors.Is(err, errPeekFull):
			return nil, nil
		case err != nil:
			return nil, err
		}
	}
}

// pickCiphers is the decision.
func pickCiphers(k kexInit) []string {
	common := slices.DeleteFunc(slices.Clone(gcmCiphers), func(c string) bool {
		return !slices.Contains(k.ciphersOut, c) || !slices.Contains(k.ciphersIn, c)
	})
	if len(common) == 0 {
		return nil
	}
	return common
}
