package methods

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"

	"fakessh/bootstrap"
)

// sshMethod reaches a machine by OpenSSH's program, with the configuration of the account that runs it.
var sshMethod = &Method{
	Name:  "ssh",
	Help:  "another machine, by OpenSSH's ssh",
	Short: "hostname",
	Params: []Param{
		{Name: "hostname", Kind: KindString, Required: true, Operand: true, Help: "host, or Host entry of ssh_config"},
		{Name: "username", Kind: KindString, Operand: true, Help: "account there; default: ssh's own"},
		{Name: "port", Kind: KindInt, Min: 1, Max: 65535, Help: "port; default: ssh's own"},
		{Name: "identity_file", Kind: KindString, Help: "private key, or the public half of one in the agent"},
		{Name: "identities_only", Kind: KindBool, Default: true, Help: "with identity_file or password: offer no other keys"},
		{Name: "password", Kind: KindSecret, Help: "password, typed on a pty"},
		{Name: "check_host_keys", Kind: KindString, Default: "enforce", Choices: []string{"accept", "enforce", "ignore"},
			Help: "enforce: the key must be known; accept: remember new ones; ignore: no check"},
		{Name: "known_hosts_files", Kind: KindList, Help: "files with known keys, in place of ssh's own; new ones go to the first"},
		{Name: "compression", Kind: KindBool, Default: false, Help: "compress: for slow links only"},
		{Name: "ciphers", Kind: KindList, Help: "ciphers in order; default: AES-GCM first, unless ssh_config or ssh_args choose"},
		{Name: "keepalive_enabled", Kind: KindBool, Default: true, Help: "notice a peer that has gone silent"},
		{Name: "keepalive_count", Kind: KindInt, Default: int64(3), Min: 1, Max: 1000, Help: "unanswered questions that end the link"},
		{Name: "keepalive_interval", Kind: KindInt, Default: int64(15), Min: 1, Max: 86400, Help: "seconds between them"},
		{Name: "ssh_config", Kind: KindString, Help: "configuration file in place of ssh's own; none: no file at all"},
		{Name: "ssh_args", Kind: KindList, Help: "further arguments of ssh"},
		{Name: "ssh_debug_level", Kind: KindInt, Default: int64(0), Min: 0, Max: 3, Help: "ssh's own -v, up to 3 times"},
		{Name: "ssh_path", Kind: KindString, Default: "ssh", Help: "the ssh program"},
	},
	name: func(v values) string {
		if port, ok := v.number("port"); ok && port != 22 {
			return v.text("hostname") + ":" + strconv.FormatInt(port, 10)
		}
		return v.text("hostname")
	},
	stdioFor: sshStdio,
	rules:    sshRules,
	diagnose: sshDiagnose,
	prepare:  sshPrepare,
	argv:     sshArgv,
}

// sshStdio gives ssh a terminal only where it has something to ask.
func sshStdio(v values) stdio {
	if _, ok := v.secret("password"); ok || v.text("check_host_keys") == "accept" {
		return hybrid
	}
	return separate
}

// sshArgv keeps Mitogen's order (spec 8.2). ssh takes the first value that it sees of an option, so ssh_args
// cannot undo what stands in front of them.
func sshArgv(v values, boot []string) ([]string, error) {
	argv := append([]string{v.text("ssh_path")}, sshLogLevel(v)...)
	argv = append(argv, sshWho(v)...)
	if v.flag("compression") {
		argv = append(argv, "-o", "Compression yes")
	}
	if v.flag("keepalive_enabled") {
		interval, _ := v.number("keepalive_interval")
		count, _ := v.number("keepalive_count")
		argv = append(argv, "-o", "ServerAliveInterval "+strconv.FormatInt(interval, 10),
			"-o", "ServerAliveCountMax "+strconv.FormatInt(count, 10))
	}
	if sshStdio(v) == separate {
		argv = append(argv, "-o", "BatchMode yes")
	}
	argv = append(argv, sshHostKeys(v)...)
	argv = append(argv, sshPlain...)
	if ciphers := v.list("ciphers"); len(ciphers) > 0 {
		argv = append(argv, "-o", "Ciphers "+strings.Join(ciphers, ","))
	}
	argv = append(argv, v.list("ssh_args")...)
	argv = append(argv, v.text("hostname"))
	for _, word := range boot {
		argv = append(argv, Quote(word))
	}
	return argv, nil
}

// sshPlain makes the connection a link and nothing else, whatever ssh_config says of its host: no agent, no X11, no terminal, no
// forwards, no command but ours, and no other ssh processes that live on it.
var sshPlain = []string{"-a", "-x", "-T", "-o", "ClearAllForwardings yes", "-o", "RemoteCommand none",
	"-o", "PermitLocalCommand no", "-o", "ControlMaster no"}

func sshLogLevel(v values) []string {
	if level, _ := v.number("ssh_debug_level"); level > 0 {
		return []string{"-" + strings.Repeat("v", int(level))}
	}
	return []string{"-o", "LogLevel ERROR"} // no banners: they may speak of passwords
}

func sshWho(v values) (args []string) {
	if config := v.text("ssh_config"); config != "" {
		args = append(args, "-F", config)
	}
	if user := v.text("username"); user != "" {
		args = append(args, "-l", user)
	}
	if port, ok := v.number("port"); ok {
		args = append(args, "-p", strconv.FormatInt(port, 10))
	}
	file := v.text("identity_file")
	if _, password := v.secret("password"); v.flag("identities_only") && (file != "" || password) {
		args = append(args, "-o", "IdentitiesOnly yes")
	}
	if file != "" {
		args = append(args, "-i", file)
	}
	return args
}

func sshHostKeys(v values) []string {
	if v.text("check_host_keys") == "ignore" {
		return []string{"-o", "StrictHostKeyChecking no", "-o", "UserKnownHostsFile /dev/null", "-o", "GlobalKnownHostsFile /dev/null"}
	}
	args := []string{"-o", "StrictHostKeyChecking yes"}
	if v.text("check_host_keys") == "accept" {
		args[1] = "StrictHostKeyChecking ask"
	}
	if files := v.list("known_hosts_files"); len(files) > 0 {
		args = append(args, "-o", "UserKnownHostsFile "+sshWords(files))
	}
	return args
}

// sshWords writes a list as ssh_config has it: blanks between, double quotes round what has some itself.
func sshWords(list []string) string {
	words := make([]string, len(list))
	for i, s := range list {
		if strings.ContainsAny(s, " \t\"'\\") {
			s = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
		}
		words[i] = s
	}
	return strings.Join(words, " ")
}

// sshPrepare finds what ssh would explain badly, and chooses ciphers.
func sshPrepare(ctx context.Context, v values, _ *bootstrap.Images, _ *command) error {
	if file := v.text("identity_file"); file != "" && !strings.Contains(file, "%") {
		if err := checkIdentity(expandHome(file)); err != nil {
			return err
		}
	}
	if len(v.list("ciphers")) > 0 {
		return nil
	}
	argv, err := sshArgv(v, nil)
	if err != nil {
		return err
	}
	v["ciphers"] = sshCiphers(ctx, argv)
	return nil
}

// checkIdentity refuses a key file that is not there, or that ssh will not use.
func checkIdentity(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		if _, e := os.Stat(path + ".pub"); e == nil {
			return nil // the agent has the other half
		}
	}
	var cause *os.PathError
	switch {
	case errors.As(err, &cause):
		return errors.New("identity file " + quoted(path) + ": " + cause.Err.Error())
	case info.IsDir():
		return errors.New("identity file " + quoted(path) + ": is a directory")
	case info.Mode().Perm()&0o077 != 0 && owned(info) && !strings.HasSuffix(path, ".pub"):
		return errors.New("identity file " + quoted(path) + ": mode " + strconv.FormatUint(uint64(info.Mode().Perm()), 8) + " is too open, ssh refuses it")
	}
	return nil
}
