package proxy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
)

// kexInit is what a client's SSH_MSG_KEXINIT says about ciphers (RFC 4253 section 7.1), client to server and back.
type kexInit struct{ ciphersOut, ciphersIn []string }

// Limits of RFC 4253 section 6.1 and 4.2, and of what x/crypto reads.
const (
	maxVersionLine  = 255
	maxKexPacket    = 35000
	msgKexInit      = 20
	kexCookie       = 16
	kexCiphersOutAt = 2 // name-lists before it: kex, host keys
	kexCiphersInAt  = 3
)

const sshPrefix = "SSH-"

var (
	errKexShort     = errors.New("key exchange message cut short")
	errKexMalformed = errors.New("malformed key exchange message")
	errNotSSH       = errors.New("not an SSH client")
	errOldSSH       = errors.New("client speaks SSH 1")
)

// parseHello reads a client's version line and KEXINIT packet, both still in the clear, from the start of data. It returns
// errKexShort while there is not enough of it.
func parseHello(data []byte) (kexInit, error) {
	rest, err := skipVersion(data)
	if err != nil {
		return kexInit{}, err
	}
	if len(rest) < 5 {
		return kexInit{}, errKexShort
	}
	length, padding := binary.BigEndian.Uint32(rest), uint32(rest[4])
	if length > maxKexPacket || length < padding+2 {
		return kexInit{}, errKexMalformed
	}
	if uint32(len(rest)-4) < length {
		return kexInit{}, errKexShort
	}
	return parseKexInit(rest[5 : 4+length-padding])
}

// skipVersion returns what follows the client's version line. The line has to be the first: only a server may send others
// before it (RFC 4253 section 4.2). It returns errKexShort while the line is not whole.
func skipVersion(data []byte) ([]byte, error) {
	line, rest, whole := bytes.Cut(data, []byte{'\n'})
	start := min(len(line), len(sshPrefix))
	switch {
	case string(line[:start]) != sshPrefix[:start] || len(line) > maxVersionLine || whole && start < len(sshPrefix):
		return nil, errNotSSH
	case !whole:
		return nil, errKexShort
	case !bytes.HasPrefix(line, []byte("SSH-2.")) && !bytes.HasPrefix(line, []byte("SSH-1.99-")):
		return nil, errOldSSH
	}
	return rest, nil
}

// parseKexInit reads the payload of the packet.
func parseKexInit(p []byte) (kexInit, error) {
	var k kexInit
	if len(p) < 1+kexCookie || p[0] != msgKexInit {
		return k, errKexMalformed
	}
	p = p[1+kexCookie:]
	for i := range kexCiphersInAt + 1 {
		if len(p) < 4 {
			return k, errKexMalformed
		}
		n := binary.BigEndian.Uint32(p)
		if p = p[4:]; uint32(len(p)) < n {
			return k, errKexMalformed
		}
		switch names := string(p[:n]); i {
		case kexCiphersOutAt:
			k.ciphersOut = strings.Split(names, ",")
		case kexCiphersInAt:
			k.ciphersIn = strings.Split(names, ",")
		}
		p = p[n:]
	}
	return k, nil
}
