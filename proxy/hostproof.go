package proxy

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	gossh "golang.org/x/crypto/ssh"
)

// After login a client is told all host keys of the gateway, and may have them proven, so that it knows a new one before the old
// one goes (OpenSSH's PROTOCOL section 2.5). On the connection to the gateway only: a virtual host's plain key is the gateway's
// too, and clients would write it down under the target's name.

// announceHostKeys tells the client, once.
func (c *conn) announceHostKeys(sc *gossh.ServerConn) {
	if c.host != nil {
		return
	}
	c.announceOnce.Do(func() {
		var payload []byte
		for _, k := range c.srv.cfg.HostKeys {
			payload = appendString(payload, k.PublicKey().Marshal())
		}
		_, _, _ = sc.SendRequest(reqHostKeys, false, payload) // an error ends the connection anyway
	})
}

// proveHostKeys answers hostkeys-prove-00: a signature by each of the keys asked for.
func (c *conn) proveHostKeys(payload []byte) ([]byte, error) {
	sc := c.sshConn()
	if c.host != nil || sc == nil {
		return nil, errors.New("no host keys to prove")
	}
	var negotiated string
	if m, ok := sc.Conn.(gossh.AlgorithmsConnMetadata); ok {
		negotiated = m.Algorithms().HostKey
	}
	return proveKeys(c.srv.cfg.HostKeys, payload, sc.SessionID(), negotiated)
}

// proveKeys signs for every key in payload, which all have to be among keys. negotiated is the connection's host key algorithm.
func proveKeys(keys []gossh.Signer, payload, sessionID []byte, negotiated string) (proofs []byte, err error) {
	if len(payload) == 0 {
		return nil, badPayload(reqHostKeysProve, errors.New("no key"))
	}
	for n := 0; len(payload) > 0; n++ {
		blob, rest, ok := cutString(payload)
		if !ok || n == len(keys) {
			return nil, badPayload(reqHostKeysProve, errors.New("keys"))
		}
		key := findKey(keys, blob)
		if key == nil {
			return nil, fmt.Errorf("%s: not a key of this server", reqHostKeysProve)
		}
		data := appendString(appendString(appendString(nil, []byte(reqHostKeysProve)), sessionID), blob)
		sig, err := signAs(key, data, proofAlgorithm(key, negotiated))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", reqHostKeysProve, err)
		}
		proofs = appendString(proofs, gossh.Marshal(sig))
		payload = rest
	}
	return proofs, nil
}

func findKey(keys []gossh.Signer, blob []byte) gossh.Signer {
	for _, k := range keys {
		if string(k.PublicKey().Marshal()) == string(blob) {
			return k
		}
	}
	return nil
}

// proofAlgorithm is "" where a key has only one. With RSA it is the one of the key exchange, if that was by RSA: clients insist.
func proofAlgorithm(key gossh.Signer, negotiated string) string {
	if key.PublicKey().Type() != gossh.KeyAlgoRSA {
		return ""
	}
	switch negotiated {
	case gossh.KeyAlgoRSA, gossh.KeyAlgoRSASHA256, gossh.KeyAlgoRSASHA512:
		return negotiated
	}
	return gossh.KeyAlgoRSASHA512
}

func signAs(key gossh.Signer, data []byte, algorithm string) (*gossh.Signature, error) {
	if s, ok := key.(gossh.AlgorithmSigner); ok && algorithm != "" {
		return s.SignWithAlgorithm(rand.Reader, data, algorithm)
	}
	return key.Sign(rand.Reader, data)
}

// appendString appends s as an SSH string (RFC 4251 section 5).
func appendString(b, s []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

// cutString takes an SSH string from the front of b.
func cutString(b []byte) (s, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := binary.BigEndian.Uint32(b)
	if uint64(len(b)-4) < uint64(n) {
		return nil, nil, false
	}
	return b[4 : 4+n], b[4+n:], true
}
