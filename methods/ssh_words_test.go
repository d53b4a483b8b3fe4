package methods

import (
	"errors"
	"strings"
	"testing"
)

const changedKey = `@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!
The fingerprint for the ED25519 key sent by the remote host is
SHA256:abc.
Add correct host key in /home/a/.ssh/known_hosts to get rid of this message.
Offending ECDSA key in /home/a/.ssh/known_hosts:12
Host key for web1 has changed and you have requested strict checking.
Host key verification failed.`

func TestSSHDiagnose(t *testing.T) {
	for _, c := range []struct{ said, want string }{
		{changedKey, "host key changed (known_hosts line 12)"},
		{strings.Replace(changedKey, ":12", ":x", 1), "host key changed"},
		{"No RSA host key is known for [h]:2222 and you have requested strict checking.\nHost key verification failed.", "host key unknown (RSA, [h]:2222)"},
		{"Host key verification failed.", "host key unknown"},
		{"@       WARNING: REVOKED HOST KEY DETECTED!               @\nHost key verification failed.", "host key revoked"},
		{strings.TrimSuffix(changedKey, "\nHost key verification failed.") + "\nssh: gone", "gone"},
		{"ssh: connect to host h port 22: Connection refused", "connect to host h port 22: Connection refused"},
		{"ssh: Could not resolve hostname h: Name or service not known", "Could not resolve hostname h: Name or service not known"},
		{"ssh: connect to host jump port 22: No route to host\nkex_exchange_identification: Connection closed by remote host\nConnection closed by UNKNOWN port 65535",
			"connect to host jump port 22: No route to host"},
		{"kex_exchange_identification: read: Connection reset by peer\nConnection reset by 10.0.0.5 port 22", "Connection reset by 10.0.0.5 port 22"},
		{"debug1: error in nothing\ndebug2: x\nUnable to negotiate with h port 22: no matching cipher found. Their offer: x\ndebug1: y", "Unable to negotiate with h port 22: no matching cipher found. Their offer: x"},
		{"bash: line 1: sh: command not found", "bash: line 1: sh: command not found"},
		{"", "the server closed the connection"},
	} {
		err := sshDiagnose(strings.Split(c.said, "\n"), "exit status 255")
		if err.Error() != c.want {
			t.Errorf("of %q it says %q, want %q", c.said, err, c.want)
		}
	}
}

func FuzzSSHDiagnose(f *testing.F) {
	f.Add(changedKey)
	f.Add("No RSA host key is known for [h]:2222 and you have requested strict checking.\nHost key verification failed.")
	f.Add("ssh: connect to host h port 22: Connection refused")
	f.Add("Offending  key in :\nHost key verification failed.")
	f.Fuzz(func(t *testing.T, said string) {
		var kept tail
		for line := range strings.Lines(said) {
			kept.add(strings.TrimRight(line, "\n"))
		}
		err := sshDiagnose(kept.all(), "exit status 255")
		if text := err.Error(); text == "" || text != printable(text) {
			t.Errorf("the text is %q", text)
		}
		var hostKey *HostKeyError
		if errors.As(err, &hostKey) != strings.Contains(strings.Join(kept.all(), "\n"), "Host key verification failed.") {
			t.Errorf("of %q it says %#v", kept.all(), err)
		}
	})
}

func FuzzSudoArgs(f *testing.F) {
	for _, s := range []string{"-EHi", "-u\x00bob", "-ubob", "--user=bob", "--us\x00bob", "--\x00x", "--login=x", "-", "--", "-h", "--he", "--s", "-r"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := sudoMethod.values(Params{"sudo_args": strings.Split(text, "\x00")})
		if err != nil {
			return
		}
		argv, err := sudoArgv(v, []string{"BOOT"})
		if err != nil {
			t.Fatal(err)
		}
		// Nothing but known options and their values, which are no options themselves, comes between sudo and --.
		for i := 1; argv[i] != "--"; i++ {
			switch argv[i] {
			case "-E", "-H", "-i":
			case "-p", "-u", "-r", "-t":
				i++
				if strings.HasPrefix(argv[i], "-") {
					t.Fatalf("%q", argv)
				}
			default:
				t.Fatalf("%q", argv)
			}
		}
	})
}
