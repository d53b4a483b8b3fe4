package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"fakessh"
	"fakessh/authz"
	"fakessh/methods"
)

// configError is one mistake in the configuration file, with its line.
type configError struct {
	File string
	Line int
	Text string
}

func (e *configError) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Text) }

// yamlFile decodes strictly: every key is known, every value has its kind, every error has its line.
type yamlFile struct {
	name  string
	errs  []*configError
	lines map[string]*yaml.Node // where users, targets and exits stand, for what is seen later
	bad   map[string]bool       // which of them have mistakes of their own
}

func (f *yamlFile) fail(n *yaml.Node, format string, args ...any) {
	f.errs = append(f.errs, &configError{f.name, n.Line, fmt.Sprintf(format, args...)})
}

// syntaxError gives the decoder's error, "yaml: line 3: …", the form of the others.
func syntaxError(file string, err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		if line, what, ok := strings.Cut(rest, ": "); ok {
			if n, err := strconv.Atoi(line); err == nil {
				return &configError{file, n, what}
			}
		}
	}
	return fmt.Errorf("%s: %s", file, text)
}

// all is every mistake as one error.
func (f *yamlFile) all() error {
	errs := make([]error, len(f.errs))
	for i, e := range f.errs {
		errs[i] = e
	}
	return errors.Join(errs...)
}

// parse fills c from the text of a file.
func (c *config) parse(name string, text []byte) error {
	f := &yamlFile{name: name, lines: map[string]*yaml.Node{}, bad: map[string]bool{}}
	dec := yaml.NewDecoder(strings.NewReader(string(text)))
	var doc yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil // an empty file is all defaults
	case err != nil:
		return syntaxError(name, err)
	}
	var more yaml.Node
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return &configError{name, more.Line, "more than one YAML document"}
	}
	f.root(c, doc.Content[0])
	f.connections(c)
	c.lines, c.bad = f.lines, f.bad
	return f.all()
}

func (f *yamlFile) root(c *config, n *yaml.Node) {
	f.mapping(n, map[string]func(*yaml.Node){
		"listen":         func(n *yaml.Node) { c.Listen = f.addresses(n) },
		"state_dir":      func(n *yaml.Node) { c.StateDir = f.path(n) },
		"control_socket": func(n *yaml.Node) { c.ControlSocket = f.path(n) },
		"users":          func(n *yaml.Node) { f.users(c, n) },
		"targets":        func(n *yaml.Node) { f.targets(c, n) },
		"exits":          func(n *yaml.Node) { f.exits(c, n) },
		"policy":         func(n *yaml.Node) { c.Policy = f.path(n) },
		"ssh_config":     func(n *yaml.Node) { c.SSHConfig = f.sshConfig(n) },
		"idle":           func(n *yaml.Node) { c.Idle = f.duration(n) },
		"login_grace":    func(n *yaml.Node) { c.LoginGrace = f.positive(n) },
		"keepalive":      func(n *yaml.Node) { c.Keepalive = f.duration(n) },
		"drain":          func(n *yaml.Node) { c.Drain = f.duration(n) },
		"prefer_gcm":     func(n *yaml.Node) { c.PreferGCM = f.boolean(n) },
		"accept_env":     func(n *yaml.Node) { c.AcceptEnv = f.envNames(n) },
	})
}

func (f *yamlFile) users(c *config, n *yaml.Node) {
	f.each(n, func(name string, key, val *yaml.Node) {
		if name == "" || strings.ContainsAny(name, "@= \t") {
			f.fail(key, "user %q: a principal has no blank, @ or =", name)
			return
		}
		var u userConfig
		defer f.entry("user "+name, key)()
		f.mapping(val, map[string]func(*yaml.Node){
			"keys":        func(n *yaml.Node) { u.Keys = f.keys(n) },
			"groups":      func(n *yaml.Node) { u.Groups = f.strings(n) },
			"login_names": func(n *yaml.Node) { u.LoginNames = f.strings(n) },
			"unix":        func(n *yaml.Node) { u.Unix = f.text(n) },
		})
		c.Users[name] = u
	})
}

// keys reads key lines; a relative file: is beside the configuration file.
func (f *yamlFile) keys(n *yaml.Node) []string {
	keys := f.strings(n)
	for i, k := range keys {
		if file, ok := strings.CutPrefix(k, "file:"); ok {
			keys[i] = "file:" + f.beside(file)
		}
	}
	return keys
}

func (f *yamlFile) targets(c *config, n *yaml.Node) {
	f.each(n, func(name string, key, val *yaml.Node) {
		t, err := fakessh.ParseTarget(name)
		if err != nil || len(t.Hops) > 0 {
			f.fail(key, "target %q: a name is lower-case letters, digits, dots, dashes and underscores", name)
			return
		}
		defer f.entry("target "+name, key)()
		c.Targets[name] = f.target(name, val)
	})
}

// target reads one entry: the tree's own keys, and for the rest the parameters of its method.
func (f *yamlFile) target(name string, n *yaml.Node) fakessh.TargetConfig {
	t := fakessh.TargetConfig{Spec: methods.Spec{Params: methods.Params{}}}
	own := map[string]func(*yaml.Node){
		"method":  func(n *yaml.Node) { t.Spec.Method = f.text(n) },
		"via":     func(n *yaml.Node) { t.Via = f.targetName(n) },
		"become":  func(n *yaml.Node) { t.Become = f.text(n) },
		"groups":  func(n *yaml.Node) { t.Groups = f.strings(n) },
		"jump":    func(n *yaml.Node) { t.Jump = f.oneOf(n, "terminate", "passthrough", "deny") },
		"address": func(n *yaml.Node) { t.Address = f.text(n) },
		"idle":    func(n *yaml.Node) { t.Idle = never(f.duration(n)) },
	}
	params := map[string]*yaml.Node{}
	f.each(n, func(key string, _, val *yaml.Node) {
		if set, ok := own[key]; ok {
			set(val)
		} else {
			params[key] = val
		}
	})
	if t.Spec.Method == "" {
		f.fail(n, "target %q: no method", name)
		return t
	}
	m, ok := methods.Lookup(t.Spec.Method)
	if !ok {
		f.fail(n, "target %q: unknown method %q; known are %s", name, t.Spec.Method, methodNames())
		return t
	}
	before := len(f.errs)
	f.params(name, m, params, t.Spec.Params)
	f.secretFiles(m, t.Spec.Params)
	if err := m.Check(t.Spec.Params); err != nil && len(f.errs) == before {
		f.fail(n, "target %q: %v", name, err)
	}
	return t
}

// params converts the values to the kinds that the method declares.
func (f *yamlFile) params(target string, m *methods.Method, nodes map[string]*yaml.Node, out methods.Params) {
	for _, name := range slices.Sorted(maps.Keys(nodes)) {
		n := nodes[name]
		p, ok := m.Param(name)
		if !ok {
			f.fail(n, "target %q: method %s has no parameter %q; it has %s", target, m.Name, name, paramNames(m))
			continue
		}
		if n.Tag == "!!null" {
			continue // as if not there
		}
		out[name] = f.value(p.Kind, n)
	}
}

// secretFiles makes relative names of files with secrets ones beside the configuration file: the gateway reads them.
func (f *yamlFile) secretFiles(m *methods.Method, params methods.Params) {
	for _, p := range m.Params {
		if path, ok := params[p.Name+"_file"].(string); ok && p.Kind == methods.KindSecret && !strings.HasPrefix(path, "~/") {
			params[p.Name+"_file"] = f.beside(path)
		}
	}
}

func (f *yamlFile) value(kind string, n *yaml.Node) any {
	switch kind {
	case methods.KindBool:
		return f.boolean(n)
	case methods.KindInt:
		var v int64
		f.decode(n, &v, "a whole number")
		return v
	case methods.KindSeconds:
		return f.seconds(n)
	case methods.KindList:
		return f.strings(n)
	case methods.KindSecret:
		return methods.Secret(f.text(n))
	}
	return f.text(n)
}

// seconds reads 3, 2.5 or "3s".
func (f *yamlFile) seconds(n *yaml.Node) (v float64) {
	if d, err := time.ParseDuration(n.Value); err == nil {
		return d.Seconds()
	}
	f.decode(n, &v, "a number of seconds")
	return v
}

func paramNames(m *methods.Method) string {
	var names []string
	for _, p := range slices.Concat(m.Params, methods.CommonParams()) {
		names = append(names, p.Name)
		if p.Kind == methods.KindSecret {
			names = append(names, p.Name+"_file", p.Name+"_command", p.Name+"_env")
		}
	}
	sort.Strings(names)
	return strings.Join(names, ", ")
}

func methodNames() string {
	var names []string
	for _, m := range methods.All() {
		names = append(names, m.Name)
	}
	sort.Strings(names)
	return strings.Join(names, ", ")
}

func (f *yamlFile) exits(c *config, n *yaml.Node) {
	f.each(n, func(pattern string, key, val *yaml.Node) {
		defer f.entry("exit "+pattern, val)()
		c.Exits[pattern] = f.targetName(val)
		if _, err := fakessh.NewExits(map[string]string{pattern: fakessh.LocalTarget}); err != nil {
			f.fail(key, "%v", err)
		}
	})
}

// connections checks what refers to other entries, once all of them are read.
func (f *yamlFile) connections(c *config) {
	wrong := fakessh.CheckTargets(c.Targets)
	said := map[string]bool{} // a mistake shows in every entry that is via the wrong one
	for _, name := range slices.Sorted(maps.Keys(wrong)) {
		text := wrong[name].Error()
		if !said[text] && !f.bad["target "+name] {
			said[text] = true
			f.fail(f.lines["target "+name], "%s", text)
		}
	}
	for pattern, target := range c.Exits {
		t, err := fakessh.ParseTarget(target)
		if _, ok := c.Targets[t.Name]; err == nil && !ok && t.Name != fakessh.LocalTarget {
			f.fail(f.lines["exit "+pattern], "exit %q: no target %q", pattern, t.Name)
		}
	}
}

// entry notes where an entry stands, and when what it returns is called, whether it has mistakes.
func (f *yamlFile) entry(name string, n *yaml.Node) (done func()) {
	before := len(f.errs)
	f.lines[name] = n
	return func() { f.bad[name] = len(f.errs) > before }
}

// addresses reads what can be listened on.
func (f *yamlFile) addresses(n *yaml.Node) []string {
	list := f.strings(n)
	if len(list) == 0 && n.Kind == yaml.SequenceNode {
		f.fail(n, "listen: no address")
	}
	for _, addr := range list {
		_, port, err := net.SplitHostPort(addr)
		if err == nil {
			_, err = net.LookupPort("tcp", port)
		}
		if err != nil {
			f.fail(n, "listen: %v", err)
		}
	}
	return list
}

// envNames reads names of variables. One that no client may ever set is a mistake: it would look as if it were in force.
func (f *yamlFile) envNames(n *yaml.Node) []string {
	names := f.strings(n)
	for _, name := range names {
		if _, err := authz.NewEnvList(name); err != nil {
			f.fail(n, "accept_env: %v", err)
		}
	}
	return names
}

func (f *yamlFile) sshConfig(n *yaml.Node) string {
	if n.Value == "none" {
		return "none"
	}
	return f.path(n)
}

func (f *yamlFile) targetName(n *yaml.Node) string {
	s := f.text(n)
	if _, err := fakessh.ParseTarget(s); err != nil {
		f.fail(n, "%v", err)
	}
	return s
}

// mapping calls the function of each key; other keys are mistakes.
func (f *yamlFile) mapping(n *yaml.Node, known map[string]func(*yaml.Node)) {
	f.each(n, func(name string, key, val *yaml.Node) {
		if set, ok := known[name]; ok {
			set(val)
			return
		}
		var names []string
		for k := range known {
			names = append(names, k)
		}
		sort.Strings(names)
		f.fail(key, "unknown key %q; known are %s", name, strings.Join(names, ", "))
	})
}

// each walks a mapping. A null value is an empty one.
func (f *yamlFile) each(n *yaml.Node, visit func(name string, key, val *yaml.Node)) {
	n = resolve(n)
	if n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		f.fail(n, "not a mapping of keys to values")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Tag == "!!merge" {
			f.fail(key, "merge keys (<<) are not supported: write the keys out, or give whole values an anchor")
			continue
		}
		if seen[key.Value] {
			f.fail(key, "key %q stands twice", key.Value)
			continue
		}
		seen[key.Value] = true
		visit(key.Value, key, resolve(n.Content[i+1]))
	}
}

func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func (f *yamlFile) decode(n *yaml.Node, into any, what string) {
	if err := n.Decode(into); err != nil {
		f.fail(n, "%q is not %s", n.Value, what)
	}
}

func (f *yamlFile) text(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		f.fail(n, "not a text")
		return ""
	}
	return n.Value
}

func (f *yamlFile) boolean(n *yaml.Node) (b bool) {
	f.decode(n, &b, "true or false")
	return b
}

// strings reads a list of texts, or a single one.
func (f *yamlFile) strings(n *yaml.Node) []string {
	if n.Kind == yaml.ScalarNode && n.Tag != "!!null" {
		return []string{n.Value}
	}
	if n.Kind != yaml.SequenceNode {
		f.fail(n, "not a list of texts")
		return nil
	}
	var list []string
	for _, item := range n.Content {
		list = append(list, f.text(resolve(item)))
	}
	return list
}

// duration reads "90s", "10m", or 0 for never.
func (f *yamlFile) duration(n *yaml.Node) time.Duration {
	if n.Value == "0" {
		return 0
	}
	d, err := time.ParseDuration(n.Value)
	if err != nil || d < 0 {
		f.fail(n, "%q is no duration; write 90s, 10m or 0", n.Value)
	}
	return d
}

// positive reads a duration that has to be one.
func (f *yamlFile) positive(n *yaml.Node) time.Duration {
	before := len(f.errs)
	d := f.duration(n)
	if d == 0 && len(f.errs) == before {
		f.fail(n, "%q: this has to end some time", n.Value)
	}
	return d
}

// never is the program's word, a negative time, for the file's 0.
func never(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

func (f *yamlFile) oneOf(n *yaml.Node, words ...string) string {
	for _, w := range words {
		if n.Value == w {
			return w
		}
	}
	f.fail(n, "%q is none of %s", n.Value, strings.Join(words, ", "))
	return ""
}

func (f *yamlFile) path(n *yaml.Node) string { return f.beside(f.text(n)) }

// beside makes a relative path one beside the configuration file.
func (f *yamlFile) beside(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(f.name), path)
}
