package methods

import "strings"

// Quote makes s one word for a shell. What POSIX shells read is also what csh and fish read: they
// give a backslash and ! a meaning inside single quotes, so these two stand outside. (A newline
// cannot be said to all three alike; it stays as POSIX has it.)
func Quote(s string) string {
	if s != "" && strings.IndexFunc(s, needsQuotes) < 0 {
		return s
	}
	var b strings.Builder
	b.WriteByte('\'')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '\'', '\\', '!':
			b.WriteString("'\\")
			b.WriteByte(c)
			b.WriteByte('\'')
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('\'')
	return b.String()
}

func needsQuotes(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return false
	}
	return !strings.ContainsRune("_-./:,@+", r)
}

// QuoteArgs makes argv a command line for a shell.
func QuoteArgs(argv []string) string {
	words := make([]string, len(argv))
	for i, a := range argv {
		words[i] = Quote(a)
	}
	return strings.Join(words, " ")
}

// plainArgs is QuoteArgs for a shell that expands $ and joins lines before it looks at quotes, as the
// one behind `sudo --login` does: sudo puts a backslash before every special byte but $, and a
// backslash before a newline removes it. The command is spelt in octal instead, without either.
func plainArgs(argv []string) []string {
	var b strings.Builder
	b.WriteString("eval \"exec `printf %b '")
	for _, c := range []byte(QuoteArgs(argv)) {
		if needsQuotes(rune(c)) {
			b.WriteString("\\0")
			b.WriteByte('0' + c>>6)
			b.WriteByte('0' + c>>3&7)
			b.WriteByte('0' + c&7)
		} else {
			b.WriteByte(c)
		}
	}
	b.WriteString("'`\"")
	return []string{"sh", "-c", b.String()}
}

// pyList is Python's repr of a list of texts, which occurs in Mitogen's error texts and names.
func pyList(items []string) string {
	words := make([]string, len(items))
	for i, s := range items {
		quote := "'"
		if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
			quote = `"`
		}
		s = strings.ReplaceAll(s, `\`, `\\`)
		s = strings.ReplaceAll(s, "\n", `\n`)
		words[i] = quote + strings.ReplaceAll(s, quote, `\`+quote) + quote
	}
	return "[" + strings.Join(words, ", ") + "]"
}
