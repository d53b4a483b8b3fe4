package proxy

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	gossh "golang.org/x/crypto/ssh"

	"fakessh/authz"
)

// HostKeys are a gateway's own keys.
type HostKeys struct {
	Key gossh.Signer // proves the gateway
	CA  gossh.Signer // signs the certificates of virtual hosts
}

// The files in a state directory.
const (
	hostKeyFile = "ssh_host_ed25519_key"
	hostCAFile  = "host_ca_ed25519_key"
)

// LoadHostKeys reads both keys from dir, making the directory and what is missing in it. It refuses a directory or key that
// others may read or change, or replace by way of a directory above.
func LoadHostKeys(dir string) (*HostKeys, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	if err := authz.CheckTrustedDir(dir); err != nil {
		return nil, fmt.Errorf("state %w", err)
	}
	key, err := loadKey(filepath.Join(dir, hostKeyFile), "fakesshd host key")
	if err != nil {
		return nil, err
	}
	ca, err := loadKey(filepath.Join(dir, hostCAFile), "fakesshd host CA")
	if err != nil {
		return nil, err
	}
	return &HostKeys{Key: key, CA: ca}, nil
}

// loadKey reads the private key at path, or makes one there. Of several that make one at once, one wins and all use its key.
func loadKey(path, comment string) (gossh.Signer, error) {
	signer, err := readKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return signer, err
	}
	if err := createKey(path, comment); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("create key %s: %w", path, err)
	}
	return readKey(path)
}

func readKey(path string) (gossh.Signer, error) {
	f, err := authz.OpenTrusted(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("read key %s: mode %#o lets others read it; it must be 0600", path, mode)
	}
	text := make([]byte, min(info.Size(), 1<<20))
	if _, err := f.ReadAt(text, 0); err != nil {
		return nil, fmt.Errorf("read key %s: %w", path, err)
	}
	signer, err := gossh.ParsePrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("read key %s: %w", path, err)
	}
	return signer, nil
}

// createKey writes a new ed25519 key and, beside it, its public half. The private file appears whole or not at all.
func createKey(path, comment string) error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	block, err := gossh.MarshalPrivateKey(private, comment)
	if err != nil {
		return err
	}
	sshPublic, err := gossh.NewPublicKey(public)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-key-*") // made 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(pem.EncodeToMemory(block))
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), path); err != nil {
		return err
	}
	return os.WriteFile(path+".pub", []byte(authorizedLine(sshPublic)+" "+comment+"\n"), 0o644)
}

// authorizedLine is a key as it stands in authorized_keys and known_hosts, without a comment.
func authorizedLine(key gossh.PublicKey) string {
	return strings.TrimSuffix(string(gossh.MarshalAuthorizedKey(key)), "\n")
}

// KnownHosts are the lines that make an OpenSSH client believe the host certificates of ca, and so ask no question about
// a virtual host: one for each of names, and one for names with hops. There is none for "*": that CA speaks for nobody else.
// Names that no target can have are left out.
func KnownHosts(names []string, ca gossh.PublicKey) string {
	var b strings.Builder
	line := func(pattern string) {
		b.WriteString("@cert-authority " + pattern + " " + authorizedLine(ca) + " fakesshd\n")
	}
	for _, name := range names {
		if knownHostName(name) {
			line(name)
		}
	}
	line("*+*")
	return b.String()
}

// knownHostName reports whether name is a target's name and means nothing else in a list of patterns.
func knownHostName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return name != "" && name[0] != '-'
}
