package methods_test

import (
	"bufio"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fakessh/bootstrap"
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

// setuidFacts becomes name and returns what the agent says of itself: ids, groups, directory, environment.
func setuidFacts(t *testing.T, images *bootstrap.Images, name string) [4]string {
	t.Helper()
	conn, err := methods.Dial(context.Background(), methods.Request{
		Spec:   methods.Spec{Method: "setuid", Params: methods.Params{"username": name, "remote_name": "facts"}},
		Agent:  bootstrap.Config{ID: 7, ParentIDs: []uint32{0}},
		Images: images,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var facts [4]string
	lines := bufio.NewReader(conn)
	for i := range facts {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		facts[i] = strings.TrimSpace(line)
	}
	return facts
}

// sortedIDs reads "[4 5]" as well as "5 4".
func sortedIDs(text string) []string {
	ids := strings.Fields(strings.Trim(text, "[] \n"))
	slices.Sort(ids)
	return ids
}

func equalIDs(a, b string) bool { return slices.Equal(sortedIDs(a), sortedIDs(b)) }

func checkAccountEnv(t *testing.T, env string, acc account) {
	t.Helper()
	for _, want := range []string{"HOME=" + acc.home, "USER=" + acc.name, "LOGNAME=" + acc.name, "SHELL=/bin/dash"} {
		if !slices.Contains(strings.Fields(env), want) {
			t.Errorf("the environment lacks %s: %s", want, env)
		}
	}
	for _, entry := range strings.Fields(env) {
		name, _, _ := strings.Cut(entry, "=")
		if !slices.Contains([]string{"HOME", "USER", "LOGNAME", "SHELL", "PATH", "TZ", "LANG"}, name) && !strings.HasPrefix(name, "LC_") {
			t.Errorf("root's %s has come along", name)
		}
	}
}

// An agent whose image has been unlinked, as with `cache: false`, leaves no other copy behind.
func TestSetuidStoresNothing(t *testing.T) {
	needRoot(t)
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o755, 0o700} {
		t.Run(mode.String(), func(t *testing.T) {
			cache := t.TempDir()
			t.Setenv("XDG_CACHE_HOME", cache)
			program := filepath.Join(t.TempDir(), "program")
			if err := os.WriteFile(program, self, mode); err != nil {
				t.Fatal(err)
			}
			images, err := bootstrap.NewImages(nil, program)
			if err == nil {
				err = os.Remove(program)
			}
			if err != nil {
				t.Fatal(err)
			}
			if facts := setuidFacts(t, images, "nobody"); facts[0] == "" {
				t.Error("the agent says nothing")
			}
			if left, err := os.ReadDir(cache); err != nil || len(left) != 0 {
				t.Errorf("the cache has %v, %v", left, err)
			}
		})
	}
}
