package shim

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestCommandLines(t *testing.T) {
	local := func(listen, connect endpoint) []forward { return []forward{{listen, connect}} }
	tests := []struct {
		line string // words separated by |
		want options
	}{
		{"host", options{host: "host"}},
		{"host|ls", options{host: "host", command: "ls"}},
		{"host|ls|-l|/a b", options{host: "host", command: "ls -l /a b"}},
		{"host|", options{host: "host"}},
		{"root@host|true", options{host: "host", user: "root", command: "true"}},
		{"a@b@host|true", options{host: "host", user: "a@b", command: "true"}},
		{"ssh://host", options{host: "host"}},
		{"ssh://root@host:2222/", options{host: "host", user: "root", port: 2222}},
		{"SSH://ro%6ft@[::1]:22", options{host: "::1", user: "root", port: 22}},
		// Options go before and after the host, until the command or --.
		{"-l|root|host|true", options{host: "host", user: "root", command: "true"}},
		{"host|-l|root|true", options{host: "host", user: "root", command: "true"}},
		{"host|-lroot|-p|2222|true|-n", options{host: "host", user: "root", port: 2222, command: "true -n"}},
		{"--|host|-n|x", options{host: "host", command: "-n x"}},
		{"host|--|-n", options{host: "host", command: "-n"}},
		{"host|-n|--|-x|y", options{host: "host", stdinNull: true, command: "-x y"}},
		{"host|-|x", options{host: "host", command: "- x"}},
		// The first one counts.
		{"-l|a|b@host|-l|c", options{host: "host", user: "a"}},
		{"a@host|-l|b|-o|User=c", options{host: "host", user: "a"}},
		{"-p|1|ssh://host:2|-p|3", options{host: "host", port: 1}},
		// Bundles.
		{"-nTq4C|host|x", options{host: "host", stdinNull: true, tty: ttyNo, logLevel: "quiet", command: "x"}},
		{"-vvv|-axXYyAKkMg246|host", options{host: "host"}},
		{"-tt|host", options{host: "host", tty: ttyForce}},
		{"-t|-t|host", options{host: "host", tty: ttyForce}},
		{"-t|host|x", options{host: "host", tty: ttyYes, command: "x"}},
		{"-Ct|host|-t|vi", options{host: "host", tty: ttyForce, command: "vi"}},
		{"-nl|root|host", options{host: "host", stdinNull: true, user: "root"}},
		{"-nlroot|host", options{host: "host", stdinNull: true, user: "root"}},
		{"-f|host|x", options{host: "host", background: true, stdinNull: true, command: "x"}},
		{"-fN|host", options{host: "host", background: true, stdinNull: true, session: typeNone}},
		// Values of options that mean nothing here are not the host.
		{"-b|1.2.3.4|-c|aes128-ctr,aes256-gcm@openssh.com|-i|key|-m|hmac-sha1|-B|eth0|-E|log|-F|conf|-I|lib|-J|jump|-P|tag|-S|sock|-w|0:0|host|x",
			options{host: "host", command: "x", control: "sock", identities: []string{"key"}}},
		{"-F/dev/null|-ikey|host|x", options{host: "host", command: "x", identities: []string{"key"}}},
		// Subsystems.
		{"-s|host|sftp", options{host: "host", session: typeSubsystem, command: "sftp"}},
		{"host|-s|sftp", options{host: "host", session: typeSubsystem, command: "sftp"}},
		{"-oForwardX11=no|-oPermitLocalCommand=no|-oClearAllForwardings=yes|-oControlMaster=no|-l|u|-s|--|host|sftp",
			options{host: "host", user: "u", session: typeSubsystem, command: "sftp", clear: true}},
		// -o in its forms.
		{"-o|User=root|host", options{host: "host", user: "root"}},
		{"-oUser=root|host", options{host: "host", user: "root"}},
		{"-o|User root|host", options{host: "host", user: "root"}},
		{"-o|  uSeR \t= \"ro ot\" |host", options{host: "host", user: "ro ot"}},
		{"-o|Port=2222|-o|Port=1|host", options{host: "host", port: 2222}},
		{"-o|RequestTTY=force|host", options{host: "host", tty: ttyForce}},
		{"-o|RequestTTY no|host", options{host: "host", tty: ttyNo}},
		{"-t|-o|RequestTTY=no|host", options{host: "host", tty: ttyYes}},
		{"-o|RemoteCommand=ls -l \"a b\"|host", options{host: "host", command: `ls -l "a b"`}},
		{"-o|SessionType=subsystem|host|sftp", options{host: "host", session: typeSubsystem, command: "sftp"}},
		{"-o|SessionType=none|host", options{host: "host", session: typeNone}},
		{"-o|StdinNull=yes|host|x", options{host: "host", stdinNull: true, command: "x"}},
		{"-o|LogLevel=QUIET|host", options{host: "host", logLevel: "quiet"}},
		{"-o|EscapeChar=none|host", options{host: "host", escape: noEscape}},
		{"-e|none|host", options{host: "host", escape: noEscape}},
		{"-e|^A|host", options{host: "host", escape: 1}},
		{"-e%|host", options{host: "host", escape: '%'}},
		{"-o|ConnectTimeout=10|host", options{host: "host", timeout: 10 * time.Second}},
		{"-o|ConnectTimeout=none|host", options{host: "host"}},
		{"-o|SendEnv=LANG LC_*|-o|SendEnv=X|host", options{host: "host", sendEnv: []string{"LANG", "LC_*", "X"}}},
		{`-o|SetEnv=A=1 "B=2 3"|host`, options{host: "host", setEnv: []string{"A=1", "B=2 3"}}},
		{"-o|BatchMode=yes|-o|StrictHostKeyChecking=no|-o|ProxyCommand=nc %h %p|host", options{host: "host"}},
		{"-o|IgnoreUnknown=made*,x|-o|Made.Up=1|host", options{host: "host", ignored: []string{"made*", "x"}}},
		{"-o|ConnectTimeout=1m30s|host", options{host: "host", timeout: 90 * time.Second}},
		{"-o|Ciphers=+aes128-cbc|-o|MACs=-hmac-*|-o|HostKeyAlgorithms=^ssh-*|-o|Protocol=2|-o|ControlPersist=1h|host", options{host: "host"}},
		{"-o|# comment|host", options{host: "host"}},
		{"-o||host", options{host: "host"}},
		// Forwardings.
		{"-W|db:5432|host", options{host: "host", session: typeNone, tty: ttyNo, stdio: &forward{connect: endpoint{host: "db", port: 5432}}}},
		{"-W[::1]:22|host", options{host: "host", session: typeNone, tty: ttyNo, stdio: &forward{connect: endpoint{host: "::1", port: 22}}}},
		{"-NL|8080:127.0.0.1:80|host", options{host: "host", session: typeNone,
			locals: local(endpoint{host: "localhost", port: 8080}, endpoint{host: "127.0.0.1", port: 80})}},
		{"-L|*:8080:[fe80::1]:80|host", options{host: "host", locals: local(endpoint{host: "::", port: 8080}, endpoint{host: "fe80::1", port: 80})}},
		{"-L|/tmp/s:/run/x|host", options{host: "host", locals: local(endpoint{path: "/tmp/s"}, endpoint{path: "/run/x"})}},
		{"-L|9:/run/x|host", options{host: "host", locals: local(endpoint{host: "localhost", port: 9}, endpoint{path: "/run/x"})}},
		{"-L|0.0.0.0:9:/run/x|host", options{host: "host", locals: local(endpoint{host: "0.0.0.0", port: 9}, endpoint{path: "/run/x"})}},
		{"-L|/tmp/s:h:1|host", options{host: "host", locals: local(endpoint{path: "/tmp/s"}, endpoint{host: "h", port: 1})}},
		{"-o|LocalForward=127.0.0.1:9 h:1|host", options{host: "host", locals: local(endpoint{host: "127.0.0.1", port: 9}, endpoint{host: "h", port: 1})}},
		{"-D|1080|host", options{host: "host", dynamics: []forward{{listen: endpoint{host: "localhost", port: 1080}}}}},
		{"-R|9:h:1|-o|ExitOnForwardFailure=yes|host", options{host: "host", remotes: []string{"9:h:1"}, strict: true}},
		{"-L|9:h:1|-o|ClearAllForwardings=yes|host", options{host: "host", clear: true}},
		// The rest.
		{"-G|host", options{host: "host", printOnly: true}},
		{"-Q|cipher", options{query: "cipher"}},
		// As real programs call it.
		{"-l|user|host|rsync|--server|-vlogDtpre.iLsfxCIvu|.|dst", options{host: "host", user: "user", command: "rsync --server -vlogDtpre.iLsfxCIvu . dst"}},
		{"-o|SendEnv=GIT_PROTOCOL|-p|22|git@host|git-upload-pack '/r.git'",
			options{host: "host", user: "git", port: 22, sendEnv: []string{"GIT_PROTOCOL"}, command: "git-upload-pack '/r.git'"}},
		{"-x|-oPermitLocalCommand=no|-oClearAllForwardings=yes|-oRemoteCommand=none|-oRequestTTY=no|-oForwardAgent=no|--|host|scp -t /x",
			options{host: "host", tty: ttyNo, clear: true, command: "scp -t /x"}},
		{"-C|-o|ControlMaster=auto|-o|ControlPersist=60s|-o|KbdInteractiveAuthentication=no|-o|User=\"root\"|-o|ConnectTimeout=10|-o|ControlPath=\"/r/x\"|host|/bin/sh -c 'echo ~'",
			options{host: "host", user: "root", timeout: 10 * time.Second, control: `"/r/x"`, command: "/bin/sh -c 'echo ~'"}},
	}
	for _, tt := range tests {
		got, err := parse(strings.Split(tt.line, "|"))
		if err != nil {
			t.Errorf("%s: %v", tt.line, err)
			continue
		}
		want := tt.want
		if want.escape == 0 {
			want.escape = '~'
		}
		got.seen = nil
		if !reflect.DeepEqual(*got, want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", tt.line, *got, want)
		}
	}
}

func TestCommandLinesRefused(t *testing.T) {
	tests := []struct {
		line, text string
		usage      bool
	}{
		{"", "", true},
		{"-n", "", true},
		{"--", "", true},
		{"@host", "", true},
		{"user@", "", true},
		{"ssh://", "", true},
		{"ssh://host/path", "", true},
		{"ssh://host:x", "", true},
		{"ssh://[::1", "", true},
		{"ssh://a%zz@host", "", true},
		{"-Z|host", "unknown option -- Z", true},
		{"-nZ|host", "unknown option -- Z", true},
		{"-é|host", "unknown option -- Ã", true},
		{"--help|host", "unknown option -- -", true},
		{"host|-o", "option requires an argument -- o", true},
		{"-l", "option requires an argument -- l", true},
		{"-s|host", "You must specify a subsystem to invoke.", true},
		{"-1|host", "SSH protocol v.1 is no longer supported", false},
		{"-p|0|host", "Bad port '0'", false},
		{"-p|+1|host", "Bad port '+1'", false},
		{"-p|65536|host", "Bad port '65536'", false},
		{"-p|ssh|host", "Bad port 'ssh'", false},
		{"-e|ab|host", "Bad escape character 'ab'.", false},
		{"-o|Port=x|host", "command-line line 0: Bad port 'x'.", false},
		{"-o|Foo=bar|host", "command-line: line 0: Bad configuration option: foo", false},
		{"-o|UseDNS=no|host", "command-line: line 0: Bad configuration option: usedns", false},
		{"-o|BatchMode=maybe|host", `command-line line 0: unsupported option "maybe".`, false},
		{"-o|BatchMode=yes no|host", "command-line line 0: keyword batchmode extra arguments at end of line", false},
		{"-o|StrictHostKeyChecking=zz|host", `command-line line 0: unsupported option "zz".`, false},
		{"-o|ServerAliveCountMax=x|host", "command-line line 0: integer value invalid.", false},
		{"-o|ServerAliveCountMax=-1|host", "command-line line 0: integer value too small.", false},
		{"-o|ServerAliveInterval=x|host", "command-line line 0: invalid time value.", false},
		{"-o|ControlPersist=-5|host", "command-line line 0: Bad ControlPersist argument.", false},
		{"-o|LogLevel=DEBUG9|host", "command-line line 0: unsupported log level 'DEBUG9'", false},
		{"-o|Ciphers=nosuch|host", "command-line line 0: Bad SSH2 cipher spec 'nosuch'.", false},
		{"-o|MACs=nosuch|host", "command-line line 0: Bad SSH2 MAC spec 'nosuch'.", false},
		{"-o|HostKeyAlgorithms=nosuch|host", "command-line line 0: Bad key types 'nosuch'.", false},
		{"-o|EscapeChar=zz|host", "command-line line 0: Bad escape character.", false},
		{"-o|Include=/x|host", "Include directive not supported as a command-line option", false},
		{"-c|nosuchcipher|host", "Unknown cipher type 'nosuchcipher'", false},
		{"-c|aes128-ctr,nosuch|host", "Unknown cipher type 'aes128-ctr,nosuch'", false},
		{"-m|+hmac-md5|host", "Unknown mac type '+hmac-md5'", false},
		{"-o|User|host", `command-line line 0: no argument after keyword "user"`, false},
		{"-o|ControlPersist", `command-line line 0: no argument after keyword "controlpersist"`, false},
		{"-o|RequestTTY=perhaps|host", `command-line line 0: unsupported option "perhaps".`, false},
		{"-o|StdinNull=2|host", `command-line line 0: unsupported option "2".`, false},
		{"-o|ConnectTimeout=soon|host", "command-line line 0: invalid time value.", false},
		{"-o|RemoteCommand=a|host|b", "Cannot execute command-line and remote command.", false},
		{"-f|host", "Cannot fork into background without a command to execute.", false},
		{"-W|host", "option requires an argument -- W", true},
		{"-W|db|host", "Bad stdio forwarding specification 'db'", false},
		{"-L|80|host", "Bad local forwarding specification '80'", false},
		{"-L|1:2:3:4:5|host", "Bad local forwarding specification '1:2:3:4:5'", false},
		{"-L|[1:2:3|host", "Bad local forwarding specification '[1:2:3'", false},
		{"-D|x|host", "Bad dynamic forwarding specification 'x'", false},
		{"-O|check|host", `No ControlPath specified for "-O" command`, false},
		{"-O|dance|host", "Invalid multiplex command.", false},
		{"-S|/s|-O|exit|host", "Control socket connect(/s): No such file or directory", false},
	}
	for _, tt := range tests {
		args := strings.Split(tt.line, "|")
		if tt.line == "-W|host" {
			args = []string{"host", "-W"}
		}
		_, err := parse(args)
		if err == nil {
			t.Errorf("%s: accepted", tt.line)
			continue
		}
		var usage usageError
		if err.Error() != tt.text || errors.As(err, &usage) != tt.usage {
			t.Errorf("%s: got %q, usage %v", tt.line, err, errors.As(err, &usage))
		}
	}
	if _, err := parse([]string{"-V"}); !errors.Is(err, errVersion{}) {
		t.Errorf("-V: %v", err)
	}
}

// What runs no command has succeeded when it is told to end, as with OpenSSH.
func TestStatusOfTheKilled(t *testing.T) {
	for line, want := range map[string]int{"host|true": 255, "host": 255, "-N|host": 0, "-W|h:1|host": 0} {
		o, err := parse(strings.Split(line, "|"))
		if err != nil {
			t.Fatal(err)
		}
		if got := o.killedBy(syscall.SIGTERM); got != want {
			t.Errorf("%s: SIGTERM gives %d, want %d", line, got, want)
		}
		if got := o.killedBy(syscall.SIGINT); got != 255 {
			t.Errorf("%s: SIGINT gives %d", line, got)
		}
	}
}

func TestEnvironment(t *testing.T) {
	env := []string{"LANG=C", "LC_ALL=x", "TERM=vt100", "GIT_PROTOCOL=2", "SECRET=s", "EMPTY=", "broken"}
	tests := []struct {
		line string
		want map[string]string
	}{
		{"host", map[string]string{"LANG": "C", "LC_ALL": "x"}},
		{"-o|SendEnv=GIT_*|host", map[string]string{"LANG": "C", "LC_ALL": "x", "GIT_PROTOCOL": "2"}},
		{"-o|SendEnv=-LC_*|host", map[string]string{"LANG": "C"}},
		{"-o|SendEnv=E????|-o|SetEnv=LANG=de A=b=c|host", map[string]string{"LANG": "de", "LC_ALL": "x", "EMPTY": "", "A": "b=c"}},
	}
	for _, tt := range tests {
		o, err := parse(strings.Split(tt.line, "|"))
		if err != nil {
			t.Fatal(err)
		}
		if got := o.environ(env); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %v", tt.line, got)
		}
	}
}

func TestMatches(t *testing.T) {
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"*", "abc", true}, {"a*c", "abbc", true}, {"a*c", "abbd", false},
		{"a?c", "abc", true}, {"a?c", "ac", false}, {"*a*b*", "xxaxxbxx", true}, {"*a*b", "aab", true}, {"*ab", "aaab", true}, {"a", "ab", false},
	} {
		if got := matches(tt.pattern, tt.name); got != tt.want {
			t.Errorf("%q against %q: %v", tt.name, tt.pattern, got)
		}
	}
}

func TestEscapes(t *testing.T) {
	type step struct {
		typed, through string
		command        byte
		rest           string
	}
	tests := map[string][]step{
		"plain":            {{"ls\r", "ls\r", 0, ""}},
		"disconnect":       {{"~.", "", '.', ""}},
		"after newline":    {{"a\r~.x", "a\r", '.', "x"}},
		"not in a line":    {{"a~.", "a~.", 0, ""}},
		"split":            {{"\r~", "\r", 0, ""}, {".", "", '.', ""}},
		"doubled":          {{"~~.", "~.", 0, ""}},
		"other":            {{"~x", "~x", 0, ""}},
		"suspend":          {{"~\x1arest", "", 'Z' - '@', "rest"}},
		"command restarts": {{"~?~.", "", '?', "~."}, {"~.", "", '.', ""}},
	}
	for name, steps := range tests {
		e := newEscapes('~')
		for i, s := range steps {
			through, command, rest := e.filter([]byte(s.typed))
			if string(through) != s.through || command != s.command || string(rest) != s.rest {
				t.Errorf("%s, step %d: %q, %q, %q", name, i, through, command, rest)
			}
		}
	}
	if through, command, _ := newEscapes(noEscape).filter([]byte("~.")); string(through) != "~." || command != 0 {
		t.Error("an escape without an escape character")
	}
}

func FuzzParse(f *testing.F) {
	for _, line := range []string{
		"host", "-l|root|host|true", "-tt|host|vi", "-o|User = x|-W|a:1|host", "-L|*:8080:[fe80::1]:80|host", "ssh://a%20b@[::1]:22/",
		"-o|SetEnv=A=1 \"B=2 3\"|host", "-D|1080|-R|1:2:3|-e|^A|host", "--|-x|y", "-Q|x", "-O|exit|-S|y|z",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		o, err := parse(strings.Split(line, "|"))
		if err != nil {
			return
		}
		if o.host == "" && o.query == "" {
			t.Error("no host")
		}
		if o.port < 0 || o.port > 65535 {
			t.Error("port", o.port)
		}
		for _, fw := range slices.Concat(o.locals, o.dynamics) {
			if fw.listen == (endpoint{}) {
				t.Error("a forwarding that listens nowhere")
			}
		}
		_ = o.print()
		_ = o.environ([]string{"A=b"})
	})
}
