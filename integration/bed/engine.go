package bed

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Containers of the bed. App has this machine's programs (its /usr, read-only); Tiny has busybox and nothing else.
const (
	App  = "fk-app"
	Tiny = "fk-tiny"
)

// engineSocket is docker's own: agents behind ssh and sudo find the engine there too.
const engineSocket = "unix:///var/run/docker.sock"

// Engine starts a docker engine, unless one is running, and two containers.
func (b *Bed) Engine() error {
	b.Docker = engineSocket
	if err := os.MkdirAll(b.Path("docker"), 0o755); err != nil {
		return err
	}
	if b.docker("info") != nil {
		if err := b.startEngine(); err != nil {
			return err
		}
	}
	_ = b.docker("rm", "-f", App, Tiny) // of a run that was killed
	b.undo = append(b.undo, func() { _ = b.docker("rm", "-f", App, Tiny) })
	if err := b.tinyImage(); err != nil {
		return err
	}
	if err := b.docker("run", "-d", "--init", "--name", Tiny, "--network", "none", "fk-tiny"); err != nil {
		return err
	}
	return b.docker("run", "-d", "--name", App, "--network", "none", "-v", "/usr:/usr:ro", "fk-app")
}

func (b *Bed) startEngine() error {
	b.undo = append(b.undo, func() { unmountBelow(b.Path("docker")) })
	if err := b.daemon(nil, b.Path("docker", "log"), "dockerd", "--data-root", b.Path("docker", "data"),
		"--exec-root", b.Path("docker", "exec"), "-H", engineSocket, "--pidfile", b.Path("docker", "pid"),
		"--iptables=false", "--ip-forward=false", "--bridge=none"); err != nil {
		return err
	}
	return b.waitEngine(60 * time.Second)
}

func (b *Bed) docker(args ...string) error {
	return run("docker", append([]string{"-H", b.Docker}, args...)...)
}

func (b *Bed) waitEngine(limit time.Duration) error {
	for end := time.Now().Add(limit); ; time.Sleep(100 * time.Millisecond) {
		err := b.docker("info")
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			text, _ := os.ReadFile(b.Path("docker", "log"))
			return fmt.Errorf("docker engine: %w\n%s", err, text)
		}
	}
}

// unmountBelow lets go of what a killed engine has left mounted, and says whether all is.
func unmountBelow(dir string) bool {
	text, err := os.ReadFile("/proc/mounts")
	for _, line := range strings.Split(string(text), "\n") {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], dir+"/") {
			err = errors.Join(err, run("umount", "-l", f[1]))
		}
	}
	return err == nil
}

// tinyImage imports two images: busybox alone, and a skeleton that borrows the machine's /usr.
func (b *Bed) tinyImage() error {
	script := `set -e; cd "$1"
mk() { mkdir -p $1/root $1/tmp $1/proc $1/sys $1/dev/pts $1/run $1/var/tmp $1/etc $1/home/alice $1/srv
  chmod 1777 $1/tmp $1/var/tmp; chown 1000:1000 $1/home/alice
  printf 'root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n' >$1/etc/passwd
  printf 'root:x:0:\nalice:x:1000:\n' >$1/etc/group; }
mk tiny; mkdir -p tiny/bin; cp "$2" tiny/bin/busybox
for a in $(tiny/bin/busybox --list); do [ $a = busybox ] || ln -sf busybox tiny/bin/$a; done
mk app; mkdir -p app/usr app/etc/alternatives; for d in bin sbin lib lib64; do ln -s usr/$d app/$d; done
cp -a /etc/ld.so.cache app/etc/; cp -a /etc/alternatives/. app/etc/alternatives/
tar -C tiny -cf tiny.tar .; tar -C app -cf app.tar .`
	if err := run("sh", "-c", script, "sh", b.Path("docker"), busybox()); err != nil {
		return err
	}
	for name, tar := range map[string]string{"fk-tiny": "tiny.tar", "fk-app": "app.tar"} {
		if err := b.docker("import", "-c", `CMD ["/bin/sleep","2147483647"]`, b.Path("docker", tar), name); err != nil {
			return err
		}
	}
	return nil
}

func busybox() string {
	path, err := exec.LookPath("busybox")
	if err != nil {
		return filepath.Join("/bin", "busybox")
	}
	return path
}
