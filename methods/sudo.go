package methods

import (
	"slices"
	"strings"
)

// sudoPrompt is what we make sudo ask with: no word of any language, and nothing that a lecture contains.
const sudoPrompt = "mitogen-sudo-prompt:"

// sudoMethod becomes another account by sudo.
var sudoMethod = &Method{
	Name:  "sudo",
	Help:  "another account on the same machine, by sudo",
	Short: "username",
	Params: []Param{
		{Name: "username", Kind: KindString, Default: "root", Operand: true, Help: "the account"},
		{Name: "password", Kind: KindSecret, Help: "password of the asking account"},
		{Name: "preserve_env", Kind: KindBool, Help: "sudo -E"},
		{Name: "set_home", Kind: KindBool, Help: "sudo -H"},
		{Name: "login", Kind: KindBool, Help: "sudo -i"},
		{Name: "selinux_role", Kind: KindString, Operand: true, Help: "sudo -r"},
		{Name: "selinux_type", Kind: KindString, Operand: true, Help: "sudo -t"},
		{Name: "sudo_args", Kind: KindList, Help: "the same as sudo's own options; the parameters above win"},
		{Name: "sudo_path", Kind: KindString, Default: "sudo", Help: "the sudo program"},
	},
	local:    true,
	stdio:    hybrid,
	rules:    sudoRules,
	merge:    mergeSudoArgs,
	diagnose: sudoDiagnose,
	argv:     sudoArgv,
}

func sudoArgv(v values, boot []string) ([]string, error) {
	argv := []string{v.text("sudo_path"), "-p", sudoPrompt, "-u", v.text("username")}
	for _, option := range []struct{ param, letter string }{{"preserve_env", "-E"}, {"set_home", "-H"}, {"login", "-i"}} {
		if v.flag(option.param) {
			argv = append(argv, option.letter)
		}
	}
	for _, option := range []struct{ param, letter string }{{"selinux_role", "-r"}, {"selinux_type", "-t"}} {
		if s := v.text(option.param); s != "" {
			argv = append(argv, option.letter, s)
		}
	}
	if v.flag("login") {
		boot = plainArgs(boot)
	}
	return append(append(argv, "--"), boot...), nil
}

var sudoRules = []rule{
	{
		prompt: true,
		match:  isSudoPrompt,
		secret: "password",
		absent: "sudo password is required",
		again:  "sudo password is incorrect",
	},
	{
		match: func(line string) bool { return strings.HasSuffix(line, "sudo: a password is required") },
		act: func(_ values, _ string, sent bool) (string, error) {
			if sent {
				return "", &PasswordError{Text: "sudo password is incorrect"}
			}
			return "", &PasswordError{Text: "sudo password is required"}
		},
	},
	{
		// passwd_tries=1: it does not ask again.
		match: func(line string) bool { return strings.Contains(line, " incorrect password attempt") },
		act: func(values, string, bool) (string, error) {
			return "", &PasswordError{Text: "sudo password is incorrect"}
		},
	},
}

// isSudoPrompt: our own text at the end, or sudo-rs's "[sudo: OURS] Password: ". Not once letters are echoed as stars.
func isSudoPrompt(text string) bool {
	if strings.HasSuffix(text, sudoPrompt) {
		return true
	}
	_, word, ok := strings.Cut(text, "[sudo: "+sudoPrompt+"] ")
	return ok && len(word) >= 1 && len(word) <= 50 && !strings.Contains(word, "*")
}

// sudoDiagnose shortens what sudo says of a command that it does not allow: it quotes all of it. Of an unknown account, or a
// broken sudoers file, it says so first, and then that this has kept a plugin from starting.
func sudoDiagnose(lines []string, status string) error {
	lines = slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
		return strings.HasPrefix(line, "sudo: error initializing audit plugin ")
	})
	words := tellingLine(lines)
	if before, _, ok := strings.Cut(words, " is not allowed to execute '"); ok {
		words = before + " is not allowed to execute a shell"
	}
	return &EOFError{Words: words, Status: status}
}
