package methods

import (
	"bytes"
	"encoding/base64"
	"io"
	"os"
	"strings"
)

// maxKeyFile is how much of a private key's file is looked at, bytes.
const maxKeyFile = 64 << 10

// lockedKey is what a refusal has to add where the key in identity_file is encrypted: ssh passes over it without a word when it cannot ask, and
// says the same then as of a wrong key.
func lockedKey(v values) string {
	path := v.text("identity_file")
	if path == "" {
		return ""
	}
	f, err := os.Open(expandHome(path))
	if err != nil {
		return ""
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil || !isLocked(text) {
		return ""
	}
	return ", and key " + printable(path) + " has a passphrase"
}

// isLocked reports whether a private key is encrypted, in OpenSSH's own format (PROTOCOL.key), in PKCS #8, or as OpenSSL wrote them before.
func isLocked(text []byte) bool {
	const begin, end, magic = "-----BEGIN OPENSSH PRIVATE KEY-----", "-----END", "openssh-key-v1\x00"
	if bytes.Contains(text, []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----")) || bytes.Contains(text, []byte("Proc-Type: 4,ENCRYPTED")) {
		return true
	}
	_, body, ok := strings.Cut(string(text), begin)
	body, _, _ = strings.Cut(body, end)
	body = strings.Join(strings.Fields(body), "")
	key, err := base64.StdEncoding.DecodeString(body[:len(body)&^3])
	cipher, isKey := bytes.CutPrefix(key, []byte(magic))
	return ok && err == nil && isKey && !bytes.HasPrefix(cipher, []byte("\x00\x00\x00\x04none"))
}
