package pickle

import "unicode/utf8"

// Python text may hold lone surrogates, which travel as three bytes that are no
// valid UTF-8: ed a0..bf 80..bf. Those from U+DC80 to U+DCFF are Python's
// surrogateescape, a raw byte of a file name or the like; in Go they are that byte.

// surrogate reports whether s begins with the three bytes of a surrogate, and which.
func surrogate[T string | []byte](s T) (rune, bool) {
	if len(s) < 3 || s[0] != 0xed || s[1] < 0xa0 || s[1] > 0xbf || s[2] < 0x80 || s[2] > 0xbf {
		return 0, false
	}
	return 0xd000 | rune(s[1]&0x3f)<<6 | rune(s[2]&0x3f), true
}

// escaped reports whether r stands for a raw byte.
func escaped(r rune) bool { return r >= 0xdc80 && r <= 0xdcff }

// unescapeText turns text from the wire into Go's form. ok is false where it is neither UTF-8 nor surrogates.
func unescapeText(b []byte) (text string, ok bool) {
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r != utf8.RuneError || n > 1 {
			out, b = append(out, b[:n]...), b[n:]
			continue
		}
		r, ok := surrogate(b)
		if !ok {
			return "", false
		}
		if escaped(r) {
			out = append(out, byte(r))
		} else {
			out = append(out, b[:3]...)
		}
		b = b[3:]
	}
	return string(out), true
}

// appendEscaped appends s as it goes on the wire: the reverse of unescapeText.
func appendEscaped(dst []byte, s string) []byte {
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && n == 1 {
			if r, ok := surrogate(s); ok && !escaped(r) {
				n = 3
			} else {
				dst, s = append(dst, 0xed, 0xb0|s[0]>>6, 0x80|s[0]&0x3f), s[1:]
				continue
			}
		}
		dst, s = append(dst, s[:n]...), s[n:]
	}
	return dst
}

// latin1 returns the bytes whose values are the code points of s; false when one is no byte.
func latin1(s string) ([]byte, bool) {
	out := make([]byte, 0, len(s))
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r > 0xff { // an invalid byte is U+FFFD here
			return nil, false
		}
		out, s = append(out, byte(r)), s[n:]
	}
	return out, true
}
