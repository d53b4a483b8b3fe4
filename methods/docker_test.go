package methods_test

import (
	"testing"

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
