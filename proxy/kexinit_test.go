package proxy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// hello is what a client with these ciphers says first.
func hello(ciphersOut, ciphersIn string) []byte {
	payload := append([]byte{msgKexInit}, make([]byte, kexCookie)...)
	for _, names := range []string{"curve25519-sha256", "ssh-ed25519", ciphersOut, ciphersIn, "hmac-sha2-256", "hmac-sha2-256", "none", "none", "", ""} {
		payload = binary.BigEndian.AppendUint32(payload, uint32(len(names)))
		payload = append(payload, names...)
	}
	payload = append(payload, 0, 0, 0, 0, 0)
	const padding = 8
	packet := binary.BigEndian.AppendUint32(nil, uint32(1+len(payload)+padding))
	packet = append(append(append(packet, padding), payload...), make([]byte, padding)...)
	return append([]byte("SSH-2.0-Test_1.0\r\n"), packet...)
}

const openSSHCiphers = "chacha20-poly1305@openssh.com,aes128-ctr,aes128-gcm@openssh.com,aes256-gcm@openssh.com"

func TestParseHello(t *testing.T) {
	tests := []struct {
		out, in string
		want    []string
	}{
		{openSSHCiphers, openSSHCiphers, gcmCiphers},
		{"aes256-gcm@openssh.com", openSSHCiphers, []string{gossh.CipherAES256GCM}},
		{"aes128-ctr", openSSHCiphers, nil},
		{"aes128-gcm@openssh.com", "aes256-gcm@openssh.com", nil},
		{"", "", nil},
	}
	for _, tt := range tests {
		data := hello(tt.out, tt.in)
		k, err := parseHello(data)
		if err != nil {
			t.Fatal(err)
		}
		if got := pickCiphers(k); !slices.Equal(got, tt.want) {
			t.Errorf("%q, %q: got %q, want %q", tt.out, tt.in, got, tt.want)
		}
		for i := range data {
			if _, err := parseHello(data[:i]); !errors.Is(err, errKexShort) {
				t.Fatalf("%d of %d bytes: %v", i, len(data), err)
			}
		}
	}
}

func FuzzParseHello(f *testing.F) {
	f.Add(hello(openSSHCiphers, openSSHCiphers))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte("SSH-2.0-x\n\xff\xff\xff\xff\x00"))
	f.Add([]byte("SSH-2.0-x\n\x00\x00\x00\x02\x00\x14"))
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := parseHello(data)
		if err != nil {
			return
		}
		// What was understood is not changed by what follows it.
		again, err := parseHello(append(bytes.Clone(data), "more"...))
		if err != nil || !slices.Equal(again.ciphersIn, k.ciphersIn) || !slices.Equal(again.ciphersOut, k.ciphersOut) {
			t.Errorf("%+v, %v after %+v", again, err, k)
		}
	})
}

func TestPeekedBytesAreReadAgain(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	sent := append(hello(openSSHCiphers, openSSHCiphers), "and the next packet"...)
	go func() {
		for _, part := range [][]byte{sent[:5], sent[5:30], sent[30:]} {
			client.Write(part)
		}
		client.Close()
	}()
	tr := newTransport(server, time.Minute)
	if err := tr.awaitVersion(); err != nil {
		t.Fatal(err)
	}
	ciphers, err := chooseCiphers(tr)
	if err != nil || !slices.Equal(ciphers, gcmCiphers) {
		t.Fatalf("ciphers %q, %v", ciphers, err)
	}
	if got, err := io.ReadAll(tr); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("read %q, %v", got, err)
	}
}

// RFC 4253 permits a client to wait for the server's KEXINIT before it sends its own.
func TestClientThatWaitsForOurKexInit(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	tr := newTransport(server, time.Minute)
	data := hello(openSSHCiphers, openSSHCiphers)
	version, packet, _ := bytes.Cut(data, []byte("\n"))
	go client.Write(append(version, '\n'))
	if err := tr.awaitVersion(); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	ciphers, err := chooseCiphers(tr)
	if err != nil || ciphers != nil {
		t.Fatalf("ciphers %q, %v", ciphers, err)
	}
	if waited := time.Since(begun); waited > 5*kexWait {
		t.Errorf("waited for %v", waited)
	}
	go func() {
		client.Write(packet)
		client.Close()
	}()
	if got, err := io.ReadAll(tr); err != nil || !bytes.Equal(got, data) {
		t.Errorf("read %q, %v", got, err)
	}
}

// Only a server may say something before its version; whoever else does is no SSH client and is not waited for.
func TestClientsFirstLine(t *testing.T) {
	const invalid, differ = "Invalid SSH identification string.\r\n", "Protocol major versions differ.\r\n"
	for sent, want := range map[string]string{
		"\n":                              invalid,
		"S\n":                             invalid,
		"GET / HTTP/1.1\r\n\r\n":          invalid,
		"\x16\x03\x01":                    invalid, // TLS
		"hello\nSSH-2.0-x\r\n":            invalid,
		"SSH-1.5-HALLO\n":                 differ,
		"SSH-2\n":                         differ,
		"SSH-" + strings.Repeat("x", 300): invalid,
	} {
		client, server := net.Pipe()
		tr := newTransport(server, time.Minute)
		go client.Write([]byte(sent))
		failed := make(chan error, 1)
		go func() {
			failed <- tr.awaitVersion()
			server.Close()
		}()
		got, _ := io.ReadAll(client)
		if err := <-failed; err == nil || string(got) != want {
			t.Errorf("%.40q: %v, answered %q", sent, err, got)
		}
	}
	for _, sent := range []string{"SSH-2.0-x\r\n", "SSH-1.99-x\n"} {
		client, server := net.Pipe()
		go client.Write([]byte(sent))
		if err := newTransport(server, time.Minute).awaitVersion(); err != nil {
			t.Errorf("%q: %v", sent, err)
		}
		client.Close()
	}
}

func TestVersionLineIsSentOnce(t *testing.T) {
	client, server := net.Pipe()
	tr := newTransport(server, time.Minute)
	go func() {
		tr.sendVersion("SSH-2.0-OpenSSH_fakesshd_1")
		io.WriteString(tr, "SSH-2.0-OpenSSH_fakesshd_1\r\n")
		io.WriteString(tr, "rest")
		tr.Close()
	}()
	got, err := io.ReadAll(client)
	if err != nil || string(got) != "SSH-2.0-OpenSSH_fakesshd_1\r\nrest" {
		t.Errorf("sent %q, %v", got, err)
	}
}

func TestCipherIsGCM(t *testing.T) {
	if !fastAES {
		t.Skip("no AES in this processor")
	}
	tests := []struct {
		name string
		any  bool
		args []string
		want string
	}{
		{"preferred", false, nil, "aes128-gcm@openssh.com"},
		{"switched off", true, []string{"-c", openSSHCiphers}, "chacha20-poly1305@openssh.com"},
		{"not offered", false, []string{"-c", "chacha20-poly1305@openssh.com"}, "chacha20-poly1305@openssh.com"},
		{"virtual host", false, []string{"-J", "gw"}, "aes128-gcm@openssh.com"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := startGateway(t, func(cfg *Config, _ *gateway) { cfg.AnyCipher = tt.any })
			dest := "web1@gw"
			if slices.Contains(tt.args, "-J") {
				dest = "alice@web1"
			}
			args := append(append([]string{"-vv"}, tt.args...), "-o", "LogLevel=DEBUG2", dest, "true")
			got := run(t, g.ssh(args...))
			if want := "kex: server->client cipher: " + tt.want; got.status != 0 || !strings.Contains(got.stderr, want) {
				t.Errorf("status %d, no %q in\n%s", got.status, want, got.stderr)
			}
		})
	}
}

// What OpenSSH's server has given up is not taken here either, and what it has is: also by a virtual host.
func TestAlgorithms(t *testing.T) {
	g := startGateway(t)
	rsa := filepath.Join(g.dir, "rsa")
	if got := run(t, tool(t, "ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", rsa)); got.status != 0 {
		t.Fatalf("ssh-keygen: %+v", got)
	}
	public, err := os.ReadFile(rsa + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	g.trust(t, string(public))
	for option, taken := range map[string]bool{
		"KexAlgorithms=curve25519-sha256":                    true,
		"KexAlgorithms=ecdh-sha2-nistp256":                   true,
		"KexAlgorithms=diffie-hellman-group14-sha256":        true,
		"KexAlgorithms=diffie-hellman-group16-sha512":        true,
		"KexAlgorithms=diffie-hellman-group-exchange-sha256": true,
		"KexAlgorithms=diffie-hellman-group14-sha1":          false,
		"KexAlgorithms=diffie-hellman-group-exchange-sha1":   false,
		"Ciphers=aes256-ctr":                                 true,
		"Ciphers=aes128-cbc":                                 false,
		"PubkeyAcceptedAlgorithms=rsa-sha2-256":              true,
		"PubkeyAcceptedAlgorithms=ssh-rsa":                   false,
	} {
		for _, args := range [][]string{{"web1@gw"}, {"-J", "gw", "alice@web1"}} {
			if strings.HasPrefix(option, "Pubkey") {
				if len(args) > 1 {
					continue // an inner login needs no key
				}
				args = []string{"-o", "IdentityFile=" + rsa, "-o", "UserKnownHostsFile=" + g.write("known", ""), "-o", "StrictHostKeyChecking=no", "-F", "none", "-p", g.port(), "web1@127.0.0.1"}
			}
			cmd := append([]string{"-o", option}, args...)
			if got := run(t, g.ssh(append(cmd, "exit 3")...)); (got.status == 3) != taken {
				t.Errorf("%s %s: %+v", option, args[len(args)-1], got)
			}
		}
	}
}
