package methods_test

import (
	"testing"

	"fakessh/methods"
	"fakessh/methods/methodtest"
)

func TestSetuid(t *testing.T) {
	needRoot(t)
	methodtest.Run(t, methodtest.Case{
		Method: "setuid",
		Params: methods.Params{"username": "nobody"},
		Direct: true,
		Argv: []methodtest.Argv{
			{Name: "nothing added", Params: methods.Params{"username": "bob"}, Want: methodtest.Boot},
			{Name: "nobody named", Err: "setuid: username is required"},
			{Name: "a dash", Params: methods.Params{"username": "-x"}, Err: `setuid: username: begins with a dash: "-x"`},
		},
	})
}
