package integration

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"fakessh"
	"fakessh/bootstrap"
	"fakessh/bootstrap/agent/session"
	"fakessh/methods"
)

// The real image for arm64 comes up in a system of that kind, uploaded and cached, serves a session and starts a child
// with its own image. The processor is qemu's; all programs in the chroot, its shell included, are of arm64.
func TestARM64(t *testing.T) {
	root := armRoot(t)
	armEmulator(t, root)
	images := armImages(t)
	shell := methods.Spec{Method: "exec", Params: methods.Params{"command": []string{"chroot", root, "/bin/env", "-i", "HOME=/root", "PATH=/bin", "/bin/sh"}}}
	inner := methods.Spec{Method: "exec", Params: methods.Params{"command": []string{"/bin/sh"}}}
	for _, round := range []string{"uploaded", "cached"} {
		tree, err := fakessh.NewTree(fakessh.Config{Images: images, Targets: map[string]fakessh.TargetConfig{
			"arm":   {Spec: shell},
			"child": {Spec: inner, Via: "arm"},
		}})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"arm", "child"} {
			if got := armRun(t, tree, name, "/bin/uname", "-m"); got != "aarch64\n" {
				t.Errorf("%s, %s: uname says %q", name, round, got)
			}
		}
		if err := tree.Close(); err != nil {
			t.Error(err)
		}
		stored, err := filepath.Glob(filepath.Join(root, "root/.cache/fakessh/*"))
		if err != nil || len(stored) != 1 || !strings.HasPrefix(filepath.Base(stored[0]), "fakessh-linux-arm64-") {
			t.Errorf("%s: stored %q, %v", round, stored, err)
		}
	}
}

// armRun runs a program in a context of tree.
func armRun(t *testing.T, tree *fakessh.Tree, name string, args ...string) string {
	t.Helper()
	target, err := fakessh.ParseTarget(name)
	if err != nil {
		t.Fatal(err)
	}
	lease, err := tree.Connect(t.Context(), fakessh.Dest{Target: target})
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Release()
	if info := lease.Info(); info.Arch != "arm64" {
		t.Errorf("%s: the agent says it is for %s", name, info.Arch)
	}
	c, err := session.Start(t.Context(), lease.Context(), &session.Spec{Kind: session.Argv, Args: args})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := c.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	if exit, err := c.Wait(t.Context()); err != nil || exit.Status != 0 {
		t.Errorf("%s: %q: %+v, %v", name, args, exit, err)
	}
	return out.String()
}

// armImages has the shipped program for arm64 alone, as the build makes it.
func armImages(t *testing.T) *bootstrap.Images {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "run", "./bootstrap/images/mk", "-platforms", "linux/arm64", "-o", dir)
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the image: %v\n%s", err, out)
	}
	images, err := bootstrap.NewImages(os.DirFS(dir), "")
	if err != nil {
		t.Fatal(err)
	}
	return images
}

// armRoot is a root directory with busybox for arm64.
func armRoot(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{"bin", "dev", "etc", "proc", "root", "tmp"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "etc/passwd"), []byte("root:x:0:0:root:/root:/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mknod(filepath.Join(root, "dev/null"), syscall.S_IFCHR|0o666, 1<<8|3); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("proc", filepath.Join(root, "proc"), "proc", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Unmount(filepath.Join(root, "proc"), syscall.MNT_DETACH) })
	armCommand(t, "dpkg-deb", "-x", armPackage(t), filepath.Join(root, "tmp"))
	if err := os.Rename(filepath.Join(root, "tmp/bin/busybox"), filepath.Join(root, "bin/busybox")); err != nil {
		t.Fatal(err)
	}
	return root
}

// armPackage is the file of Debian's busybox-static for arm64. It is fetched once, by apt with lists of its own, so that
// the machine's idea of its architectures stays what it is.
func armPackage(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../.cache/arm64")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	find := func() []string {
		list, _ := filepath.Glob(filepath.Join(dir, "busybox-static_*_arm64.deb"))
		return list
	}
	if len(find()) == 0 {
		state := t.TempDir()
		for _, sub := range []string{"lists/partial", "cache/archives/partial"} {
			if err := os.MkdirAll(filepath.Join(state, sub), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		options := []string{"-q", "-o", "Dir::State::Lists=" + state + "/lists", "-o", "Dir::Cache=" + state + "/cache",
			"-o", "APT::Architecture=arm64", "-o", "APT::Architectures=arm64", "-o", "APT::Sandbox::User=root"}
		armCommandIn(t, dir, "apt-get", append(options, "update")...)
		armCommandIn(t, dir, "apt-get", append(options, "download", "busybox-static")...)
	}
	list := find()
	if len(list) == 0 {
		t.Fatalf("apt-get has left no package in %s", dir)
	}
	return list[0]
}

// armEmulator makes the kernel start programs for arm64, also inside the chroot, until the test is over, and links
// busybox's names there.
func armEmulator(t *testing.T, root string) {
	t.Helper()
	if exec.Command("chroot", root, "/bin/busybox", "true").Run() != nil {
		armRegister(t)
	}
	armCommand(t, "chroot", root, "/bin/busybox", "--install", "-s", "/bin")
}

// armRegister tells the kernel what Debian's qemu-user-static says of ELF files of arm64, under a name of the test's own.
// Its flags open the emulator now, so that it is found in any root, and keep argv[0], which busybox needs.
func armRegister(t *testing.T) {
	t.Helper()
	line, err := os.ReadFile("/usr/lib/binfmt.d/qemu-aarch64.conf")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("qemu-user-static is not installed: %v", err)
		}
		t.Skipf("qemu-user-static is not installed: %v", err)
	}
	const dir = "/proc/sys/fs/binfmt_misc"
	if _, err := os.Stat(dir + "/register"); err != nil {
		if err := syscall.Mount("binfmt_misc", dir, "binfmt_misc", 0, ""); err != nil {
			t.Fatalf("mount binfmt_misc: %v", err)
		}
		t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	}
	name := "fakessh-arm64-" + strconv.Itoa(os.Getpid())
	armWrite(t, dir+"/register", strings.Replace(strings.TrimSpace(string(line)), ":qemu-aarch64:", ":"+name+":", 1))
	t.Cleanup(func() { armWrite(t, dir+"/"+name, "-1") })
}

// armWrite is one write to a file of the kernel's.
func armWrite(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, fs.FileMode(0))
	if err == nil {
		_, err = f.WriteString(text)
		err = firstError(err, f.Close())
	}
	if err != nil {
		t.Errorf("tell the kernel about arm64: %v", err)
	}
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func armCommand(t *testing.T, name string, args ...string) {
	t.Helper()
	armCommandIn(t, "", name, args...)
}

func armCommandIn(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	c := exec.Command(name, args...)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", c, err, out)
	}
}
