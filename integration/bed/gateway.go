package bed

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// policy permits everything but remote and agent forwarding in sec.
const policy = `permit (principal, action, resource);
forbid (principal, action in [Action::"forward_remote", Action::"agent_forward"], resource == Target::"sec");
`

// Gateway starts bin/fakesshd with the bed's tree:
//
//	local                   this machine, as root
//	web1                    Ann, by ssh
//	web2                    Bob, by ssh; sudo without a password
//	sec                     Ann, by ssh; sudo with her password
//	hop3                    Bob, by ssh behind web1, behind web2: three hops
//	app, tiny               containers, when Engine is up
//	sshapp, far             the first container, behind ssh as root, and behind web2+sudo
func (b *Bed) Gateway() error {
	port, err := FreePort()
	if err != nil {
		return err
	}
	b.GWPort = port
	b.Control = b.Path("state", "control.sock")
	if err := b.write("fakesshd.yaml", b.config(), 0o600); err != nil {
		return err
	}
	if err := b.write("policy.cedar", policy, 0o644); err != nil {
		return err
	}
	if err := b.trustTargets(); err != nil {
		return err
	}
	if err := b.start(); err != nil {
		return err
	}
	b.undo = append(b.undo, func() { b.StopGateway() })
	return b.clientConfig()
}

// trustTargets puts the sshd's key where the gateway looks for keys of targets.
func (b *Bed) trustTargets() error {
	known, err := os.ReadFile(b.Path("known_hosts"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(b.Path("state"), 0o700); err != nil {
		return err
	}
	return b.write("state/known_hosts", string(known), 0o600)
}

func (b *Bed) config() string {
	pub, _ := os.ReadFile(b.Path("id.pub"))
	ssh := fmt.Sprintf("method: ssh, hostname: 127.0.0.1, port: %d, identity_file: %s, ssh_config: none", b.SSHDPort, b.Path("id"))
	inner := fmt.Sprintf("method: ssh, hostname: 127.0.0.1, port: %d", b.SSHDPort)
	text := fmt.Sprintf(`listen: ["127.0.0.1:%d"]
state_dir: %s
control_socket: %s
policy: policy.cedar
users:
  ann: {keys: [%q], groups: [ops], unix: root}
targets:
  web1: {%s, username: %s, groups: [web]}
  web2: {%s, username: %s, become: sudo}
  sec: {%s, username: %s}
  fresh1: {%s, username: %s, keepalive_count: 4}
  hop2: {%s, username: %s, via: web1}
  hop3: {%s, username: %s, via: hop2}
  down: {method: ssh, hostname: 127.0.0.1, port: 1, username: nobody, ssh_config: none}
  wrongkey: {method: ssh, hostname: 127.0.0.1, port: %d, username: %s, identity_file: %s, ssh_config: none}
  nodocker: {method: docker, container: nosuch, docker_path: /nonexistent/docker}
  root1: {method: sudo, password: %q, via: sec}
  badsudo: {method: sudo, password: wrong, via: sec}
exits:
  "127.0.0.1": local
  "localhost": local
`, b.GWPort, b.Path("state"), b.Control, strings.TrimSpace(string(pub)),
		ssh, Ann, ssh, Bob, ssh, Ann, ssh, Ann, inner, Bob, inner, Ann,
		b.SSHDPort, Ann, b.Path("stranger"), AnnPassword)
	if b.Docker == "" {
		return text
	}
	return strings.Replace(text, "exits:\n", `  app: {method: docker, container: fk-app}
  tiny: {method: docker, container: fk-tiny}
  rootssh: {method: ssh, hostname: 127.0.0.1, port: `+strconv.Itoa(b.SSHDPort)+`, username: root, identity_file: `+b.Path("id")+`, ssh_config: none}
  sshapp: {method: docker, container: fk-app, via: rootssh}
  far: {method: docker, container: fk-app, via: web2+sudo}
exits:
`, 1)
}

// start runs the gateway and waits for its "listening" line.
func (b *Bed) start() error {
	bin, err := Binary()
	if err != nil {
		return err
	}
	cmd := exec.Command(bin, "serve", "--config", b.Path("fakesshd.yaml"))
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+b.Docker, "HOME="+b.Path("home"), "XDG_CACHE_HOME="+b.Path("cache"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(b.Path("gateway.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	b.gateway = cmd
	up := make(chan bool, 1)
	go copyLog(stderr, log, up)
	select {
	case ok := <-up:
		if ok {
			return nil
		}
	case <-time.After(20 * time.Second):
	}
	text, _ := os.ReadFile(b.Path("gateway.log"))
	return fmt.Errorf("the gateway does not listen:\n%s", text)
}

// copyLog ends when the gateway closes its stderr.
func copyLog(from io.Reader, log *os.File, up chan<- bool) {
	defer log.Close()
	for lines := bufio.NewScanner(from); lines.Scan(); {
		fmt.Fprintln(log, lines.Text())
		if strings.Contains(lines.Text(), "listening") {
			select {
			case up <- true:
			default:
			}
		}
	}
	select {
	case up <- false:
	default:
	}
}

// StopGateway ends the gateway and waits for it.
func (b *Bed) StopGateway() {
	if b.gateway != nil {
		stop(b.gateway, 15*time.Second)
		b.gateway = nil
	}
}

// RestartGateway starts it again on the same port.
func (b *Bed) RestartGateway() error { b.StopGateway(); return b.start() }

// GatewayPID is the running gateway's.
func (b *Bed) GatewayPID() int { return b.gateway.Process.Pid }

// Binary finds bin/fakesshd above the working directory.
func Binary() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			bin := filepath.Join(dir, "bin", "fakesshd")
			if _, err := os.Stat(bin); err != nil {
				return "", fmt.Errorf("no bin/fakesshd: run make build first: %w", err)
			}
			return bin, nil
		}
	}
	return "", errors.New("not inside the repository")
}

// clientConfig writes an ssh_config for the real clients: host gw, and the CA line for virtual hosts.
func (b *Bed) clientConfig() error {
	bin, err := Binary()
	if err != nil {
		return err
	}
	lines, err := output(bin, "known-hosts", "--config", b.Path("fakesshd.yaml"))
	if err != nil {
		return err
	}
	known := fmt.Sprintf("%s\n", lines)
	if err := b.write("client_known_hosts", known, 0o644); err != nil {
		return err
	}
	text := fmt.Sprintf(`Host *
  IdentityFile %s
  IdentitiesOnly yes
  UserKnownHostsFile %s
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  BatchMode yes
  ControlPath none
Host gw
  HostName 127.0.0.1
  Port %d
`, b.Path("id"), b.Path("client_known_hosts"), b.GWPort)
	return b.write("ssh_config", text, 0o644)
}

// SSH is the real client, set up for the gateway: SSH("web1@gw", "exit 7").
func (b *Bed) SSH(args ...string) *exec.Cmd { return b.Tool("ssh", args...) }

// Tool is ssh, scp or sftp with the bed's client configuration.
func (b *Bed) Tool(name string, args ...string) *exec.Cmd {
	return exec.Command(name, append([]string{"-F", b.Path("ssh_config")}, args...)...)
}
