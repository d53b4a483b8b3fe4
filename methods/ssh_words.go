package methods

import (
	"strconv"
	"strings"
)

// sshRules are ssh's questions, and the one line that ends it all although ssh goes on asking.
var sshRules = []rule{
	{
		match: isPermissionDenied,
		act: func(v values, line string, sent bool) (string, error) {
			_, given := v.secret("password")
			switch {
			case sent:
				return "", &PasswordError{"SSH password is incorrect", deniedWords(line)}
			case !given && containsFold(line, "password"):
				return "", &PasswordError{"SSH password was requested, but none specified" + lockedKey(v), deniedWords(line)}
			}
			return "", &PasswordError{"SSH authentication is incorrect" + lockedKey(v), deniedWords(line)}
		},
	},
	{
		prompt: true,
		match:  isHostKeyQuestion,
		act: func(v values, _ string, _ bool) (string, error) {
			if v.text("check_host_keys") == "accept" {
				return "yes", nil
			}
			return "", &HostKeyError{Reason: "refused"}
		},
	},
	{
		// A key with a passphrase, that is not in the agent: ssh goes on to the next one.
		prompt: true,
		match:  func(text string) bool { return containsFold(text, "enter passphrase for") && asks(text) },
		act:    func(values, string, bool) (string, error) { return "", nil },
	},
	{
		prompt: true,
		match:  func(text string) bool { return containsFold(text, "password") && asks(text) },
		secret: "password",
		absent: "SSH password was requested, but none specified",
		again:  "SSH password is incorrect",
	},
}

// deniedWords are ssh's own, "Permission denied (publickey,password).", less who was denied.
func deniedWords(line string) string {
	line = strings.TrimRight(line, ". \r")
	if _, words, found := strings.Cut(line, ": "); found {
		return words
	}
	return line
}

// isPermissionDenied: at the start of a line, or after "user@host: ".
func isPermissionDenied(line string) bool {
	if containsFold(line[:min(len(line), len("permission denied"))], "permission denied") {
		return true
	}
	who, rest, ok := strings.Cut(line, ": ")
	return ok && strings.Contains(who, "@") && !strings.Contains(who, " ") &&
		strings.HasPrefix(strings.ToLower(rest), "permission denied")
}

func isHostKeyQuestion(text string) bool {
	_, rest, ok := strings.Cut(strings.ToLower(text), "are you sure you want to continue connecting (yes/no")
	return ok && (strings.HasPrefix(rest, ")?") || strings.HasPrefix(rest, "/[fingerprint])?"))
}

// sshDiagnose makes an error of what ssh said before it ended.
func sshDiagnose(lines []string, status string) error {
	var said []string
	for _, line := range lines {
		if !isSSHDebug(line) {
			said = append(said, line)
		}
	}
	if err := hostKeyError(said); err != nil {
		return err
	}
	words := sshTelling(said)
	if words == "" && status == "exit status 255" {
		words = "the server closed the connection" // ssh says that at a level of its log below ours
	}
	return &EOFError{Words: words, Status: status}
}

func isSSHDebug(line string) bool {
	for _, level := range []string{"debug1:", "debug2:", "debug3:"} {
		if strings.HasPrefix(line, level) {
			return true
		}
	}
	return false
}

// sshTelling is the first line in which ssh itself says what went wrong; what follows are consequences.
func sshTelling(lines []string) string {
	for _, line := range lines {
		for _, prefix := range []string{"ssh: ", "Connection ", "Received disconnect ", "Unable to negotiate ", "Bad ", "command-line"} {
			if strings.HasPrefix(line, prefix) {
				return strings.TrimPrefix(line, "ssh: ")
			}
		}
	}
	return tellingLine(lines)
}

// hostKeyError reads OpenSSH's account of a host key that it did not accept; nil if there is none.
func hostKeyError(lines []string) error {
	e := &HostKeyError{}
	failed := false
	for _, line := range lines {
		switch {
		case strings.Contains(line, "Host key verification failed."):
			failed = true
		case strings.Contains(line, "REMOTE HOST IDENTIFICATION HAS CHANGED"):
			e.Reason = "changed"
		case strings.Contains(line, "REVOKED HOST KEY DETECTED"):
			e.Reason = "revoked"
		case strings.HasPrefix(line, "Offending ") && e.Reason == "changed":
			e.offending(line)
		case strings.HasPrefix(line, "No ") && strings.Contains(line, " host key is known for "):
			e.unknown(line)
		}
	}
	if !failed {
		return nil
	}
	if e.Reason == "" {
		e.Reason = "unknown"
	}
	return e
}

// offending reads "Offending RSA key in /home/a/.ssh/known_hosts:12".
func (e *HostKeyError) offending(line string) {
	kind, place, ok := strings.Cut(strings.TrimPrefix(line, "Offending "), " key in ")
	i := strings.LastIndexByte(place, ':')
	if !ok || i < 0 {
		return
	}
	if n, err := strconv.Atoi(place[i+1:]); err == nil && n > 0 {
		e.Key, e.File, e.Line = kind, place[:i], n
	}
}

// unknown reads "No ED25519 host key is known for [127.0.0.1]:2222 and you have requested strict checking."
func (e *HostKeyError) unknown(line string) {
	kind, rest, _ := strings.Cut(strings.TrimPrefix(line, "No "), " host key is known for ")
	host, _, _ := strings.Cut(rest, " and you have ")
	e.Reason, e.Key, e.Host = "unknown", kind, host
}
