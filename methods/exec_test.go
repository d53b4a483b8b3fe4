package methods_test

import (
	"testing"

	"fakessh/methods"
	"fakessh/methods/methodtest"
)

func TestExec(t *testing.T) {
	methodtest.Run(t, methodtest.Case{
		Method: "exec",
		Stub: func(_ *testing.T, params methods.Params, path string) {
			params["command"] = []string{path, "some", "arguments"}
		},
		Handover: methodtest.BareShell,
		Argv: []methodtest.Argv{
			{Name: "verbatim", Params: methods.Params{"command": []string{"chroot", "/srv/x y", "-sh"}}, Want: []string{"chroot", "/srv/x y", "-sh"}},
			{Name: "from YAML", Params: methods.Params{"command": []any{"chroot", "/srv"}}, Want: []string{"chroot", "/srv"}},
			{Name: "none", Err: "exec: command is required"},
			{Name: "empty", Params: methods.Params{"command": []string{}}, Err: "exec: command is required"},
			{Name: "no program", Params: methods.Params{"command": []string{"", "a"}}, Err: "exec: command has no program"},
			{Name: "a text", Params: methods.Params{"command": "chroot /srv"}, Err: "exec: command: want a list of texts"},
			{Name: "zero byte", Params: methods.Params{"command": []string{"a\x00b"}}, Err: "exec: command: has a zero byte"},
		},
	})
}
