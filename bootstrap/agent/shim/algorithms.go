package shim

import (
	"slices"
	"strings"
)

// Names of algorithms, which programs ask for (-Q) and users choose among (-c, -m, Ciphers). There is no cryptography here: they are known, as
// OpenSSH 9.2 knows them, so that a wrong name is told.
const (
	cipherNames = "3des-cbc aes128-cbc aes192-cbc aes256-cbc aes128-ctr aes192-ctr aes256-ctr " + sealedNames
	sealedNames = "aes128-gcm@openssh.com aes256-gcm@openssh.com chacha20-poly1305@openssh.com"

	macNames = "hmac-sha1 hmac-sha1-96 hmac-sha2-256 hmac-sha2-512 hmac-md5 hmac-md5-96 umac-64@openssh.com umac-128@openssh.com " +
		"hmac-sha1-etm@openssh.com hmac-sha1-96-etm@openssh.com hmac-sha2-256-etm@openssh.com hmac-sha2-512-etm@openssh.com " +
		"hmac-md5-etm@openssh.com hmac-md5-96-etm@openssh.com umac-64-etm@openssh.com umac-128-etm@openssh.com"

	kexNames = "diffie-hellman-group1-sha1 diffie-hellman-group14-sha1 diffie-hellman-group14-sha256 diffie-hellman-group16-sha512 " +
		"diffie-hellman-group18-sha512 diffie-hellman-group-exchange-sha1 diffie-hellman-group-exchange-sha256 ecdh-sha2-nistp256 " +
		"ecdh-sha2-nistp384 ecdh-sha2-nistp521 curve25519-sha256 curve25519-sha256@libssh.org sntrup761x25519-sha512 " +
		"sntrup761x25519-sha512@openssh.com"

	keyNames = "ssh-ed25519 sk-ssh-ed25519@openssh.com ecdsa-sha2-nistp256 ecdsa-sha2-nistp384 ecdsa-sha2-nistp521 " +
		"sk-ecdsa-sha2-nistp256@openssh.com ssh-dss ssh-rsa"
	certNames = "ssh-ed25519-cert-v01@openssh.com sk-ssh-ed25519-cert-v01@openssh.com ecdsa-sha2-nistp256-cert-v01@openssh.com " +
		"ecdsa-sha2-nistp384-cert-v01@openssh.com ecdsa-sha2-nistp521-cert-v01@openssh.com sk-ecdsa-sha2-nistp256-cert-v01@openssh.com " +
		"ssh-dss-cert-v01@openssh.com ssh-rsa-cert-v01@openssh.com"
	// What keys sign with beyond their own names.
	signNames     = "webauthn-sk-ecdsa-sha2-nistp256@openssh.com rsa-sha2-256 rsa-sha2-512"
	signCertNames = "rsa-sha2-256-cert-v01@openssh.com rsa-sha2-512-cert-v01@openssh.com"
	allSignNames  = keyNames + " " + certNames + " " + signNames + " " + signCertNames
)

// queries are what -Q is asked, in lower case, and the answers.
var queries = map[string]string{
	"cipher": cipherNames, "ciphers": cipherNames, "cipher-auth": sealedNames,
	"mac": macNames, "macs": macNames,
	"kex": kexNames, "kexalgorithms": kexNames,
	"key": keyNames + " " + certNames, "key-plain": keyNames, "key-cert": certNames, "key-sig": allSignNames,
	"sig":         keyNames + " " + signNames,
	"compression": "none zlib@openssh.com zlib", "protocol-version": "2",
	"hostkeyalgorithms": allSignNames,
	"hostbasedkeytypes": allSignNames, "hostbasedacceptedkeytypes": allSignNames, "hostbasedacceptedalgorithms": allSignNames,
	"pubkeyacceptedkeytypes": allSignNames, "pubkeyacceptedalgorithms": allSignNames,
	"help": "cipher cipher-auth compression kex key key-cert key-plain key-sig mac protocol-version sig",
}

// answer is what -Q prints: a name in each line.
func answer(query string) (text string, ok bool) {
	names, ok := queries[strings.ToLower(query)]
	return strings.ReplaceAll(names, " ", "\n") + "\n", ok
}

// validList says whether list consists of names, a comma between them.
func validList(list, names string) bool {
	known := strings.Fields(names)
	for name := range strings.SplitSeq(list, ",") {
		if !slices.Contains(known, name) {
			return false
		}
	}
	return true
}

// validNames is validList for what may be added to a list (+), or put at its front (^).
func validNames(list, names string) bool { return validList(bare(list), names) }

// validPatterns is validNames where patterns may stand for names.
func validPatterns(list, names string) bool {
	known := strings.Fields(names)
	for pattern := range strings.SplitSeq(bare(list), ",") {
		if !slices.ContainsFunc(known, func(name string) bool { return matches(pattern, name) }) {
			return false
		}
	}
	return true
}

// bare is list without what says how it is meant.
func bare(list string) string {
	if list != "" && strings.IndexByte("+^", list[0]) >= 0 {
		return list[1:]
	}
	return list
}
