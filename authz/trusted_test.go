package authz

import (
	"errors"
	"io/fs"
	"os"
	osuser "os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// needRoot leaves a test out that gives files away; under CI it has to run.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal("needs root")
	}
	t.Skip("needs root: files are given away")
}

// place makes a file two directories down in dir.
func place(t *testing.T) (dir, file string) {
	t.Helper()
	dir = t.TempDir()
	file = filepath.Join(dir, "out", "in", "keys")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, file
}

// groupWrites gives path to a group that is not its owner's own.
func groupWrites(path string, mode fs.FileMode) error {
	return errors.Join(os.Chown(path, -1, 54321), os.Chmod(path, mode))
}

func TestOnlyWhatOwnersCanChangeIsTrusted(t *testing.T) {
	const stranger = 54321
	tests := []struct {
		name   string
		change func(out, in, keys string) error
		want   string // "" is trusted; DIR is replaced
	}{
		{"a private file", func(_, _, keys string) error { return os.Chmod(keys, 0o600) }, ""},
		{"one that others read", func(_, _, keys string) error { return os.Chmod(keys, 0o644) }, ""},
		{"one that the owner's own group writes", func(_, _, keys string) error { return os.Chmod(keys, 0o664) }, ""},
		{"one that the group writes", func(_, _, keys string) error { return groupWrites(keys, 0o664) }, "read DIR/out/in/keys: writable by others (mode 0664)"},
		{"one that all write", func(_, _, keys string) error { return os.Chmod(keys, 0o606) }, "read DIR/out/in/keys: writable by others (mode 0606)"},
		{"in a directory that the group writes", func(_, in, _ string) error { return groupWrites(in, 0o770) }, "read DIR/out/in/keys: DIR/out/in: writable by others (mode 0770)"},
		{"below one that all write", func(out, _, _ string) error { return os.Chmod(out, 0o777) }, "read DIR/out/in/keys: DIR/out: writable by others (mode 0777)"},
		{"below one like /tmp", func(out, _, _ string) error { return os.Chmod(out, 0o777|fs.ModeSticky) }, ""},
		{"a stranger's", func(_, _, keys string) error { return os.Chown(keys, stranger, 0) }, "read DIR/out/in/keys: belongs to another user (uid 54321, mode 0600)"},
		{"in a stranger's directory", func(_, in, _ string) error { return os.Chown(in, stranger, 0) }, "DIR/out/in: belongs to another user (uid 54321, mode 0755)"},
		{"below a stranger's sticky directory", func(out, _, _ string) error {
			return errors.Join(os.Chmod(out, 0o777|fs.ModeSticky), os.Chown(out, stranger, 0))
		}, "DIR/out: belongs to another user"},
		{"a directory", func(_, _, keys string) error { return errors.Join(os.Remove(keys), os.Mkdir(keys, 0o755)) }, "not a regular file"},
		{"a pipe", func(_, _, keys string) error { return errors.Join(os.Remove(keys), syscall.Mkfifo(keys, 0o600)) }, "not a regular file"},
		{"nothing", func(_, _, keys string) error { return os.Remove(keys) }, "read DIR/out/in/keys: no such file or directory"},
		{"our link to a trusted file", func(_, in, keys string) error {
			return errors.Join(os.Rename(keys, in+"/real"), os.Symlink("../in/./real", keys))
		}, ""},
		{"a stranger's link to a trusted file", func(_, in, keys string) error {
			return errors.Join(os.Rename(keys, in+"/real"), os.Symlink("real", keys), os.Lchown(keys, stranger, 0))
		}, "belongs to another user"},
		{"a link into a loose directory", func(out, _, keys string) error {
			loose := filepath.Join(filepath.Dir(out), "loose")
			return errors.Join(os.Mkdir(loose, 0o700), os.Rename(keys, loose+"/keys"), os.Symlink(loose+"/keys", keys), groupWrites(loose, 0o770))
		}, "DIR/loose: writable by others (mode 0770)"},
		{"a link that goes in circles", func(_, _, keys string) error {
			return errors.Join(os.Remove(keys), os.Symlink("keys", keys))
		}, "too many links"},
		{"a link to the root", func(_, _, keys string) error { return errors.Join(os.Remove(keys), os.Symlink("/", keys)) }, "not a regular file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if strings.Contains(tt.name, "stranger") {
				needRoot(t)
			}
			dir, file := place(t)
			in := filepath.Dir(file)
			if err := tt.change(filepath.Dir(in), in, file); err != nil {
				t.Fatal(err)
			}
			text, err := ReadTrusted(file, 4)
			if tt.want == "" {
				if err != nil || string(text) != "text" {
					t.Errorf("got %q, %v", text, err)
				}
				return
			}
			if want := strings.ReplaceAll(tt.want, "DIR", dir); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}

func TestTrustedErrors(t *testing.T) {
	dir, file := place(t)
	if _, err := OpenTrusted(filepath.Join(dir, "none", "keys")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, err := ReadTrusted(file, 3); err == nil || !strings.HasSuffix(err.Error(), "keys: larger than 3 bytes") {
		t.Errorf("got %v", err)
	}
	t.Chdir(dir)
	if text, err := ReadTrusted("out/../out/in//keys", 4); err != nil || string(text) != "text" {
		t.Errorf("by a relative name: %q, %v", text, err)
	}
	if err := CheckTrustedDir("out/in"); err != nil {
		t.Error(err)
	}
	if err := CheckTrustedDir(file); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("got %v", err)
	}
	if err := groupWrites("out", 0o775); err != nil {
		t.Fatal(err)
	}
	if err := CheckTrustedDir("out/in"); err == nil || !strings.HasSuffix(err.Error(), "out: writable by others (mode 0775)") {
		t.Errorf("got %v", err)
	}
}

// The keys of a user may be in a file of the account that the user is here: alice: {keys: ["file:/home/alice/.ssh/authorized_keys"], unix: alice}.
func TestKeyFileOfTheAccount(t *testing.T) {
	needRoot(t)
	account, err := osuser.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	nobody, err := strconv.Atoi(account.Uid)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "authorized_keys")
	_, line := newKey(t)
	if err := errors.Join(os.WriteFile(file, []byte(line), 0o600), os.Chown(file, nobody, 0), os.Chown(dir, nobody, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := NewUsers(map[string]User{"al": {Keys: []string{"file:" + file}, Unix: "nobody"}}); err != nil {
		t.Error(err)
	}
	for _, other := range []string{"", "bin", "no-such-account"} {
		_, err := NewUsers(map[string]User{"al": {Keys: []string{"file:" + file}, Unix: other}})
		if err == nil || !strings.Contains(err.Error(), "belongs to another user (uid "+account.Uid) {
			t.Errorf("unix %q: %v", other, err)
		}
	}
}

func TestPolicyThatOthersCanChange(t *testing.T) {
	_, file := place(t)
	if err := errors.Join(os.WriteFile(file, []byte("permit (principal, action, resource);\n"), 0o600), os.Chmod(file, 0o622)); err != nil {
		t.Fatal(err)
	}
	_, err := LoadPolicy(file)
	if wrong := new(PolicyError); !errors.As(err, &wrong) || err.Error() != "policy "+file+": writable by others (mode 0622)" {
		t.Errorf("got %v", err)
	}
}
