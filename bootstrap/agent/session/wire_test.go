package session

import (
	"reflect"
	"strings"
	"testing"

	"fakessh/router/pickle"
)

// travel sends v through the pickle profile, as a call does.
func travel(t testing.TB, v any) any {
	t.Helper()
	data, err := pickle.Append(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	back, _, err := pickle.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	return back
}

var fullSpec = Spec{
	Kind:    Exec,
	Command: "tar cf - latin\xe91",
	Dir:     "/srv/\xfe",
	Env:     map[string]string{"LANG": "C", "LC_X": "\xe9"},
	PTY: &PTY{
		Term: "xterm", Size: Size{80, 24, 1<<32 - 1, 480}, Modes: []byte{53, 0, 0, 0, 1, 0},
	},
	ClientAddr: "192.0.2.1 5000", ServerAddr: "192.0.2.2 22",
	Shim: true, Agent: true,
}

func TestSpecTravels(t *testing.T) {
	for _, spec := range []Spec{fullSpec, {Kind: Shell}, {Kind: Argv, Args: []string{"rsync", "--server", "\xff"}}, {Kind: Subsystem, Command: "sftp"}} {
		got, err := DecodeSpec(travel(t, spec.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, &spec) {
			t.Errorf("got  %+v\nwant %+v", got, &spec)
		}
	}
}

func TestSpecIgnoresUnknownKeysAndNone(t *testing.T) {
	d := (&Spec{Kind: Shell}).Encode()
	d.Set("of_a_later_version", pickle.Tuple{int64(1)})
	d.Set("pty", nil)
	if s, err := DecodeSpec(travel(t, d)); err != nil || s.PTY != nil {
		t.Errorf("got %+v, %v", s, err)
	}
}

func TestSpecIsValidated(t *testing.T) {
	long := strings.Repeat("x", maxCommand+1)
	many := map[string]string{}
	for i := range maxEnv + 1 {
		many["A"+strings.Repeat("x", i%250)+string(rune('a'+i%26))+strings.Repeat("y", i/250)] = ""
	}
	for want, spec := range map[string]Spec{
		`unknown kind "spawn"`:   {Kind: "spawn"},
		"command is longer":      {Kind: Exec, Command: long},
		"command holds a NUL":    {Kind: Exec, Command: "a\x00b"},
		"args are missing":       {Kind: Argv},
		"args is longer":         {Kind: Argv, Args: []string{long[:maxCommand], "x"}},
		"args has more than":     {Kind: Argv, Args: make([]string, maxArgs+1)},
		"args holds a NUL":       {Kind: Argv, Args: []string{"a", "\x00"}},
		"command is missing":     {Kind: Subsystem},
		"agent does not belong":  {Kind: Subsystem, Command: "sftp", Agent: true},
		"args belong to":         {Kind: Exec, Command: "id", Args: []string{"sh"}},
		"args belong to the":     {Kind: Shell, Args: []string{"sh"}},
		"args belong to the k":   {Kind: Subsystem, Command: "sftp", Args: []string{"sh"}},
		"belong to the kind arg": {Kind: Argv, Command: "id", Args: []string{"sh", "-c", "reboot"}},
		"belong to the kind she": {Kind: Shell, Command: "id"},
		"env has a name":         {Kind: Shell, Env: map[string]string{"A=B": "c"}},
		"env is longer":          {Kind: Shell, Env: map[string]string{"A": long}},
		"dir is longer":          {Kind: Shell, Dir: long},
		"client is longer":       {Kind: Shell, ClientAddr: long},
		"modes are longer":       {Kind: Shell, PTY: &PTY{Modes: make([]byte, maxModes+1)}},
		"term is longer":         {Kind: Shell, PTY: &PTY{Term: long}},
		"server holds a NUL":     {Kind: Shell, ServerAddr: "\x00"},
		"env has a name that ca": {Kind: Shell, Env: map[string]string{"": "c"}},
	} {
		if spec.Kind == Argv && len(spec.Args) > maxArgs {
			spec.Args[0] = "x"
		}
		if err := spec.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	if len(many) > maxEnv {
		if err := (&Spec{Kind: Shell, Env: many}).Validate(); err == nil {
			t.Error("too many variables are accepted")
		}
	}
}

func TestWrongTypesAreRefused(t *testing.T) {
	for want, d := range map[string]*pickle.Dict{
		"command is not text":  pickle.NewDict("kind", "exec", "command", int64(1)),
		"args is not a list":   pickle.NewDict("kind", "argv", "args", "true"),
		"args is not text":     pickle.NewDict("kind", "argv", "args", pickle.Tuple{int64(1)}),
		"env is not a dict":    pickle.NewDict("kind", "shell", "env", "A=b"),
		"env is not text":      pickle.NewDict("kind", "shell", "env", pickle.NewDict("A", int64(1))),
		"agent is not a bool":  pickle.NewDict("kind", "shell", "agent", "yes"),
		"shim is not a bool":   pickle.NewDict("kind", "shell", "shim", int64(1)),
		"pty: not a dict":      pickle.NewDict("kind", "shell", "pty", true),
		"size is not four":     pickle.NewDict("kind", "shell", "pty", pickle.NewDict("size", pickle.Tuple{int64(1)})),
		"size is not an int":   pickle.NewDict("kind", "shell", "pty", pickle.NewDict("size", pickle.Tuple{"1", nil, nil, nil})),
		"size is out of range": pickle.NewDict("kind", "shell", "pty", pickle.NewDict("size", pickle.Tuple{int64(-1), int64(0), int64(0), int64(0)})),
		"modes is not bytes":   pickle.NewDict("kind", "shell", "pty", pickle.NewDict("modes", "x")),
	} {
		if _, err := DecodeSpec(travel(t, d)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	if _, err := DecodeSpec("spec"); err == nil {
		t.Error("a text is accepted as a spec")
	}
}

func TestConnectRequestTravels(t *testing.T) {
	req := &ConnectRequest{
		ID: 5, Method: "ssh",
		Params: map[string]any{
			"hostname": "web1", "port": int64(22), "python": []string{"a", "b"}, "password": pickle.Secret("s3cret"),
			"debug": true, "connect_timeout": 2.5,
		},
		Unidirectional: true, MaxMessage: 1 << 20, RemoteName: "r", NoCache: true, Debug: true,
	}
	got, err := DecodeConnectRequest(travel(t, req.Encode()))
	if err != nil || !reflect.DeepEqual(got, req) {
		t.Errorf("got %+v, %v; want %+v", got, err, req)
	}
	want := &Connected{ID: 7, Name: "ssh.web1", Platform: "linux/arm64", Version: "1", Caps: []string{"session"}, Cached: true, Uploaded: 5}
	back, err := DecodeConnected(travel(t, want.Encode()))
	if err != nil || !reflect.DeepEqual(back, want) {
		t.Errorf("got %+v, %v; want %+v", back, err, want)
	}
	info := Info{1, "linux", "amd64", "host", 1000, 1001, "ann", "/home/ann", "/bin/sh", "1"}
	if i, err := DecodeInfo(travel(t, info.Encode())); err != nil || i != info {
		t.Errorf("got %+v, %v", i, err)
	}
}

func TestItemsTravel(t *testing.T) {
	for _, x := range []Exit{{}, {Status: 7}, {Signal: "KILL"}, {Signal: "SEGV", Core: true, Message: "text"}, {Status: 1<<32 - 1}} {
		if got, err := ParseExit(AppendExit(nil, x)); err != nil || got != x {
			t.Errorf("got %+v, %v; want %+v", got, err, x)
		}
	}
	long := Exit{Signal: strings.Repeat("S", 100), Message: strings.Repeat("m", 5000)}
	if got, err := ParseExit(AppendExit(nil, long)); err != nil || len(got.Signal) != maxSignal || len(got.Message) != maxMessage {
		t.Errorf("overlong texts: %+v, %v", got, err)
	}
	s := Size{1, 2, 3, 1<<32 - 1}
	if got, err := ParseSize(AppendSize(nil, s)); err != nil || got != s {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{"", "A B", "A\n", strings.Repeat("A", 33)} {
		if _, err := ParseSignal([]byte(bad)); err == nil {
			t.Errorf("signal %q is accepted", bad)
		}
	}
}

func FuzzSpec(f *testing.F) {
	for _, s := range []Spec{fullSpec, {Kind: Shell}, {Kind: Argv, Args: []string{"x"}}} {
		data, err := pickle.Append(nil, s.Encode())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, _, err := pickle.Decode(data)
		if err != nil {
			return
		}
		s, err := DecodeSpec(v)
		if err == nil {
			if err := s.Validate(); err != nil {
				t.Errorf("decoded, but not valid: %v", err)
			}
		}
		_, _ = DecodeConnectRequest(v)
		_, _ = DecodeConnected(v)
		_, _ = DecodeInfo(v)
	})
}

func FuzzItems(f *testing.F) {
	f.Add(AppendExit(nil, Exit{Signal: "KILL", Message: "m"}))
	f.Add(AppendSize(nil, Size{80, 24, 0, 0}))
	f.Add([]byte("TERM"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if x, err := ParseExit(data); err == nil {
			if again, err := ParseExit(AppendExit(nil, x)); err != nil || again != x {
				t.Errorf("%+v became %+v, %v", x, again, err)
			}
		}
		_, _ = ParseSize(data)
		_, _ = ParseSignal(data)
	})
}
