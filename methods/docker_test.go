package methods_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"fakessh/bootstrap"
	"fakessh/methods"
	"fakessh/methods/methodtest"
)

func TestDocker(t *testing.T) {
	boot := func(argv ...string) []string { return append(argv, methodtest.Boot...) }
	methodtest.Run(t, methodtest.Case{
		Method: "docker",
		Params: methods.Params{"container": "app"},
		Tool:   "docker_path",
		Argv: []methodtest.Argv{
			{Name: "container", Params: methods.Params{"container": "app"}, Want: boot("docker", "exec", "--interactive", "app")},
			{Name: "container and account", Params: methods.Params{"container": "app", "username": "www"},
				Want: boot("docker", "exec", "--interactive", "--user=www", "app")},
			{Name: "image", Params: methods.Params{"image": "debian:12"}, Want: boot("docker", "run", "--interactive", "--rm", "debian:12")},
			{Name: "image and account", Params: methods.Params{"image": "debian:12", "username": "1000:1000"},
				Want: boot("docker", "run", "--interactive", "--user=1000:1000", "--rm", "debian:12")},
			{Name: "container wins", Params: methods.Params{"container": "app", "image": "debian"}, Want: boot("docker", "exec", "--interactive", "app")},
			{Name: "another program", Params: methods.Params{"container": "app", "docker_path": "/opt/docker"},
				Want: boot("/opt/docker", "exec", "--interactive", "app")},
			{Name: "quotes are no matter", Params: methods.Params{"container": "a;$(b)'"}, Want: boot("docker", "exec", "--interactive", "a;$(b)'")},
			{Name: "nothing", Err: "docker: container or image is required"},
			{Name: "a dash", Params: methods.Params{"container": "--privileged"}, Err: `docker: container: begins with a dash: "--privileged"`},
			{Name: "an image with a dash", Params: methods.Params{"image": "-v/:/host"}, Err: `docker: image: begins with a dash: "-v/:/host"`},
			{Name: "a blank", Params: methods.Params{"container": "a b"}, Err: `docker: container: has a blank or control character: "a b"`},
			{Name: "empty", Params: methods.Params{"container": ""}, Err: "docker: container: is empty"},
		},
	})
}

func TestDockerNames(t *testing.T) {
	m, _ := methods.Lookup("docker")
	for _, c := range []struct {
		params methods.Params
		want   string
	}{
		{methods.Params{"container": "app"}, "docker.app"},
		{methods.Params{"image": "debian:12"}, "docker.debian:12"},
	} {
		if got := m.ContextName(c.params); got != c.want {
			t.Errorf("ContextName(%v) = %q", c.params, got)
		}
	}
}

// An offer that leads nowhere is declined, and the link is the tool's, with nothing lost or added.
func TestDockerOfferDeclined(t *testing.T) {
	offer := bootstrap.Offer{PIDNS: 1, PID: 1, FD: 1}
	var said bytes.Buffer
	if err := bootstrap.Announce(&said, "1", []string{offer.Capability(), "other"}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", dir)
	image := "#!/bin/sh\n[ \"$2\" = probe ] && exit 0\ncase $4 in *o*) ;; *) exit 3;; esac\n" +
		"printf '%s' '" + said.String() + "'\n[ \"$(dd bs=1 count=1 2>/dev/null)\" = s ] || exit 4\nexec cat\n"
	docker := "#!/bin/sh\n" + methodtest.Arguments + "\n"
	for name, text := range map[string]string{"image": image, "docker": docker} {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	images, err := bootstrap.NewImages(nil, "")
	if err == nil {
		err = images.Add(bootstrap.Own(), dir+"/image")
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var logged []string
	conn, err := methods.Dial(ctx, methods.Request{
		Spec:   methods.Spec{Method: "docker", Params: methods.Params{"container": "app", "docker_path": dir + "/docker", "debug": true}},
		Agent:  bootstrap.Config{ID: 7, ParentIDs: []uint32{0}},
		Images: images,
		Log:    func(line string) { logged = append(logged, line) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if conn.Bypass || len(conn.Ready.Caps) != 1 || len(logged) != 1 || !strings.HasPrefix(logged[0], "the link is the tool's: ") {
		t.Errorf("bypass %v, capabilities %q, logged %q", conn.Bypass, conn.Ready.Caps, logged)
	}
	if _, err := io.WriteString(conn, "same"); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); string(got) != "same" || err != nil {
		t.Errorf("%q came back, %v", got, err)
	}
}
