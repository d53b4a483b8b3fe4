package methods_test

import (
	"slices"
	"testing"

	"fakessh/methods"
	"fakessh/methods/methodtest"
)

func TestSudo(t *testing.T) {
	argv := func(words ...string) []string {
		return slices.Concat([]string{"sudo", "-p", "mitogen-sudo-prompt:"}, words, []string{"--"}, methodtest.Boot)
	}
	args := func(words ...string) methods.Params { return methods.Params{"sudo_args": words} }
	methodtest.Run(t, methodtest.Case{
		Method: "sudo",
		Tool:   "sudo_path",
		Prompt: &methodtest.Prompt{
			Param:   "password",
			Text:    "mitogen-sudo-prompt:",
			Before:  "We trust you have received the usual lecture.\n\n    #1) Respect the password: of others.\n\n",
			Again:   "Sorry, try again.\n",
			Missing: "sudo password is required",
			Wrong:   "sudo password is incorrect",
		},
		Argv: []methodtest.Argv{
			{Name: "root", Want: argv("-u", "root")},
			{Name: "all", Params: methods.Params{"username": "bob", "preserve_env": true, "set_home": true, "selinux_role": "r", "selinux_type": "t"},
				Want: argv("-u", "bob", "-E", "-H", "-r", "r", "-t", "t")},
			{Name: "no password in it", Params: methods.Params{"password": methods.Secret("hush")}, Want: argv("-u", "root")},
			{Name: "a dash", Params: methods.Params{"username": "-s"}, Err: `sudo: username: begins with a dash: "-s"`},
			{Name: "sudo_args bundle", Params: args("-EHubob"), Want: argv("-u", "bob", "-E", "-H")},
			{Name: "sudo_args long", Params: args("--user=bob", "--preserve-env", "--set", "--ro", "r", "-t", "t"), Want: argv("-u", "bob", "-E", "-H", "-r", "r", "-t", "t")},
			{Name: "sudo_args ignored", Params: args("-S", "-n", "--stdin", "--non-interactive", "--"), Want: argv("-u", "root")},
			{Name: "parameters win", Params: methods.Params{"username": "al", "set_home": false, "sudo_args": []string{"-H", "-u", "bob"}}, Want: argv("-u", "al")},
			{Name: "unknown letter", Params: args("-EK"), Err: "sudo: no such option: -K"},
			{Name: "unknown word", Params: args("--frob"), Err: "sudo: no such option: --frob"},
			{Name: "help", Params: args("--help"), Err: "sudo: unsupported option"},
			{Name: "ambiguous", Params: args("--s"), Err: "sudo: ambiguous option: --s"},
			{Name: "value missing", Params: args("-u"), Err: "sudo: -u option requires 1 argument"},
			{Name: "value too many", Params: args("--login=x"), Err: "sudo: --login option does not take a value"},
			{Name: "left over", Params: args("-E", "ls", "it's"), Err: `unsupported sudo arguments:['ls', "it's"]`},
			{Name: "hostile value", Params: args("-u", "-s"), Err: `sudo: username: begins with a dash: "-s"`},
		},
	})
}
