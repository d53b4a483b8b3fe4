package methods

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// maxSecret bounds a secret, bytes: a terminal line holds no more than 4095.
const maxSecret = 4095

// Where a secret may come from instead of standing in the configuration: suffixes of its parameter's name.
var secretSources = map[string]func(ctx context.Context, where string) ([]byte, error){
	"_file":    secretFile,
	"_command": secretCommand,
	"_env":     secretEnv,
}

// secretSource splits "password_file" into the secret's name and the suffix; source is "" for anything else.
func secretSource(m *Method, name string) (secret, source string) {
	for suffix := range secretSources {
		base, ok := strings.CutSuffix(name, suffix)
		if p, known := ownParam(m, base); ok && known && p.Kind == KindSecret {
			return base, suffix
		}
	}
	return "", ""
}

func ownParam(m *Method, name string) (Param, bool) {
	for _, p := range m.Params {
		if p.Name == name {
			return p, true
		}
	}
	return Param{}, false
}

// ResolveSecrets returns spec with P_file, P_command and P_env replaced by P for each secret parameter P. It
// belongs to the process that has the configuration, before the spec is dialled or travels: Dial refuses what is left unresolved.
// A file's or a command's last line end is not part of the secret; the command is run by sh, and may take connect_timeout.
func ResolveSecrets(ctx context.Context, spec Spec) (Spec, error) {
	m, err := lookup(spec)
	if err != nil {
		return Spec{}, err
	}
	limit := ConnectTimeout(spec)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, &TimeoutError{After: limit})
	defer cancel()
	out := Spec{Method: spec.Method, Params: maps.Clone(spec.Params)}
	for name, where := range spec.Params {
		secret, source := secretSource(m, name)
		if source == "" || where == nil {
			continue
		}
		if out.Params[secret] != nil {
			return Spec{}, errors.New(m.Name + ": " + secret + " is given twice, also by " + name)
		}
		value, err := resolveSecret(ctx, source, where)
		if err != nil {
			return Spec{}, errors.New(m.Name + ": " + name + ": " + err.Error())
		}
		delete(out.Params, name)
		out.Params[secret] = value
	}
	return out, nil
}

func resolveSecret(ctx context.Context, source string, where any) (Secret, error) {
	text, ok := where.(string)
	if !ok || text == "" {
		return "", errors.New("want a text")
	}
	raw, err := secretSources[source](ctx, text)
	if err != nil {
		return "", err
	}
	raw = bytes.TrimSuffix(bytes.TrimSuffix(raw, []byte("\n")), []byte("\r"))
	if len(raw) == 0 {
		return "", errors.New("nothing there")
	}
	return Secret(raw), checkSecret(Secret(raw))
}

// checkSecret refuses what cannot be typed as one line.
func checkSecret(s Secret) error {
	if len(s) > maxSecret {
		return errors.New("is longer than a terminal line")
	}
	if strings.ContainsAny(string(s), "\x00\r\n") {
		return errors.New("has more than one line")
	}
	return nil
}

// unresolved names the first parameter that ResolveSecrets would have replaced.
func unresolved(m *Method, v values) string {
	for name := range v {
		if _, source := secretSource(m, name); source != "" {
			return name
		}
	}
	return ""
}

func secretFile(_ context.Context, path string) ([]byte, error) {
	f, err := os.Open(expandHome(path))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxSecret+3)) // room for CR LF, and to see that it is too long
}

func secretEnv(_ context.Context, name string) ([]byte, error) {
	s, ok := os.LookupEnv(name)
	if !ok {
		return nil, errors.New(quoted(name) + " is not in the environment")
	}
	return []byte(s), nil
}

func secretCommand(ctx context.Context, command string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.WaitDelay = lastWordsWait
	out, err := cmd.Output()
	var exit *exec.ExitError
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, exec.ErrWaitDelay): // it ended well, and has left something behind that holds its output
		return out, nil
	case errors.As(err, &exit):
		if said := lastLine(strings.Split(string(exit.Stderr), "\n")); said != "" {
			return nil, errors.New(said)
		}
	}
	return out, err
}

// expandHome replaces a leading ~/ by the home directory.
func expandHome(path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	return path
}
