package methods_test

import (
	"os"
	"testing"

	"fakessh/methods/methodtest"
)

func TestMain(m *testing.M) {
	methodtest.Main()
	os.Exit(m.Run())
}
