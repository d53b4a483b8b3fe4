package proxy

import (
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// Life of a virtual host's certificate. It is renewed when half of it has passed, so that one in use has time left.
const (
	certLife = 24 * time.Hour
	certSkew = 5 * time.Minute // for clocks that are behind ours
	maxCerts = 1024            // kept at once
)

// hostCerts makes and keeps the certificates of virtual hosts. Safe for concurrent use.
type hostCerts struct {
	key, ca gossh.Signer
	now     func() time.Time

	mu    sync.Mutex
	certs map[string]hostCert
}

type hostCert struct {
	signer gossh.Signer
	renew  time.Time
}

// signer returns a signer whose public key is a certificate for name alone, in lower case, as clients compare it.
func (h *hostCerts) signer(name string) (gossh.Signer, error) {
	name = strings.ToLower(name)
	now := h.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if c, ok := h.certs[name]; ok && now.Before(c.renew) {
		return c.signer, nil
	}
	signer, err := h.sign(name, now)
	if err != nil {
		return nil, fmt.Errorf("host certificate for %q: %w", name, err)
	}
	if h.certs == nil || len(h.certs) >= maxCerts {
		h.certs = make(map[string]hostCert)
	}
	h.certs[name] = hostCert{signer, now.Add(certLife / 2)}
	return signer, nil
}

func (h *hostCerts) sign(name string, now time.Time) (gossh.Signer, error) {
	cert := &gossh.Certificate{
		Key:             h.key.PublicKey(),
		CertType:        gossh.HostCert,
		KeyId:           "fakesshd virtual host " + name,
		ValidPrincipals: []string{name},
		ValidAfter:      uint64(now.Add(-certSkew).Unix()),
		ValidBefore:     uint64(now.Add(certLife).Unix()),
	}
	if err := cert.SignCert(rand.Reader, h.ca); err != nil {
		return nil, err
	}
	return gossh.NewCertSigner(cert, h.key)
}
