package main

import (
	"strings"
	"testing"
	"time"

	"fakessh"
)

func FuzzConfig(f *testing.F) {
	for _, s := range []string{
		"", "listen: [\"127.0.0.1:2222\"]\n", "users: {alice: {keys: [x], groups: [a], login_names: [al], unix: alice}}\n",
		"targets:\n  web1: {method: ssh, hostname: h, via: local, port: 22}\n", "targets: &a {a: *a}\n", "exits: {\"*.x\": local}\nidle: 5m\n",
		"a: b: c", "- x", "prefer_gcm: 1", "idle: -3s",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		cfg := &config{Users: map[string]userConfig{}, Targets: map[string]fakessh.TargetConfig{}, Exits: map[string]string{}}
		if err := cfg.parse("f.yaml", []byte(text)); err != nil && !strings.HasPrefix(err.Error(), "f.yaml:") {
			t.Errorf("the error does not name the file: %v", err)
		}
	})
}

func TestTreeIsDrawn(t *testing.T) {
	now := time.Now()
	var b strings.Builder
	drawTree(&b, []fakessh.Node{
		{ID: 1, Name: "bastion", Method: "ssh", State: "up", User: "ops", Platform: "linux/amd64", PID: 7, Since: now.Add(-time.Minute), Sessions: 2},
		{ID: 2, Parent: 1, Name: "web1", Method: "ssh", State: "up", User: "deploy", Platform: "linux/arm64", PID: 8, Since: now, RTT: 1234 * time.Microsecond},
		{ID: 3, Parent: 1, Name: "web2", Method: "ssh", State: "connecting"},
		{ID: 4, Name: "local", Method: "local", State: "up", User: "me", Platform: "linux/amd64", PID: 9, Since: now, Sessions: 1},
	}, now)
	want := `gateway
├── bastion (ssh) ops, linux/amd64, pid 7 2 sessions up 1m0s
│   ├── web1 (ssh) deploy, linux/arm64, pid 8 idle up 0s rtt 1.23ms
│   └── web2 (ssh) connecting
└── local (local) me, linux/amd64, pid 9 1 session up 0s
`
	if b.String() != want {
		t.Errorf("got\n%s", b.String())
	}
}
