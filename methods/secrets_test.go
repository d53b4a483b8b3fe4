package methods

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestResolveSecrets(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Setenv("HOME", dir)
	t.Setenv("FAKESSH_TEST_SECRET", "from env")
	write("home", "from home")
	for _, c := range []struct {
		name   string
		params Params
		want   Secret
		err    string
	}{
		{"file", Params{"password_file": write("a", " two words \r\n")}, " two words ", ""},
		{"file without end", Params{"password_file": write("b", "x")}, "x", ""},
		{"file at home", Params{"password_file": "~/home"}, "from home", ""},
		{"environment", Params{"password_env": "FAKESSH_TEST_SECRET"}, "from env", ""},
		{"command", Params{"password_command": "echo from $((1+1)) commands"}, "from 2 commands", ""},
		{"literal", Params{"password": "x"}, "x", ""},
		{"nothing", Params{}, "", ""},
		{"null", Params{"password_file": nil}, "", ""},
		{"no file", Params{"password_file": dir + "/none"}, "", "sudo: password_file: open " + dir + "/none: no such file or directory"},
		{"empty file", Params{"password_file": write("c", "\n")}, "", "sudo: password_file: nothing there"},
		{"many lines", Params{"password_file": write("d", "a\nb\n")}, "", "sudo: password_file: has more than one line"},
		{"a whole disk", Params{"password_file": "/dev/zero"}, "", "sudo: password_file: is longer than a terminal line"},
		{"not in the environment", Params{"password_env": "FAKESSH_TEST_NONE"}, "", `sudo: password_env: "FAKESSH_TEST_NONE" is not in the environment`},
		{"command fails", Params{"password_command": "echo first >&2; echo locked >&2; exit 3"}, "", "sudo: password_command: locked"},
		{"command fails silently", Params{"password_command": "exit 3"}, "", "sudo: password_command: exit status 3"},
		{"not a text", Params{"password_file": 1}, "", "sudo: password_file: want a text"},
		{"twice", Params{"password": "x", "password_env": "FAKESSH_TEST_SECRET"}, "", "sudo: password is given twice, also by password_env"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := len(c.params)
			spec, err := ResolveSecrets(context.Background(), Spec{Method: "sudo", Params: c.params})
			if err != nil || c.err != "" {
				if err == nil || err.Error() != c.err {
					t.Fatalf("error %v, want %q", err, c.err)
				}
				return
			}
			v, err := sudoMethod.values(spec.Params)
			if got, _ := v.secret("password"); err != nil || got != c.want {
				t.Errorf("it is %q, %v", string(got), err)
			}
			if name := unresolved(sudoMethod, v); name != "" || len(c.params) != before {
				t.Errorf("%s is left over, or the argument was changed", name)
			}
		})
	}
}

// What has not been resolved is not guessed at in another place.
func TestDialRefusesUnresolved(t *testing.T) {
	_, err := Dial(context.Background(), Request{Spec: Spec{Method: "sudo", Params: Params{"password_file": "/x"}}})
	if err == nil || !strings.Contains(err.Error(), "password_file has not been resolved") {
		t.Errorf("the error is %v", err)
	}
}

func TestCheckAcceptsSources(t *testing.T) {
	for _, name := range []string{"password_file", "password_command", "password_env"} {
		if err := sudoMethod.Check(Params{name: "x"}); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"username_file", "_file", "password_", "file"} {
		if err := sudoMethod.Check(Params{name: "x"}); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestSecretCommandIsNotWaitedForForEver(t *testing.T) {
	start := time.Now()
	spec := Spec{"sudo", Params{"password_command": "sleep 60 & echo $!"}} // as password managers start their agents
	got, err := ResolveSecrets(t.Context(), spec)
	secret, _ := got.Params["password"].(Secret)
	left, noPID := strconv.Atoi(string(secret))
	if err != nil || noPID != nil {
		t.Fatalf("%q, %v", string(secret), err)
	}
	_ = syscall.Kill(left, syscall.SIGKILL)
	spec = Spec{"sudo", Params{"password_command": "sleep 5; echo late", "connect_timeout": 0.1}}
	if _, err := ResolveSecrets(t.Context(), spec); err == nil || err.Error() != "sudo: password_command: not connected after 100ms" {
		t.Error(err)
	}
	if d := time.Since(start); d > 30*time.Second {
		t.Errorf("it took %v", d)
	}
}
