package integration

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"fakessh/bootstrap"
	"fakessh/bootstrap/agent/session"
	"fakessh/bootstrap/images"
	"fakessh/integration/bed"
	"fakessh/methods"
	"fakessh/methods/methodtest"
	"fakessh/router"
)

// dialDocker connects by the docker method alone, without a gateway, to a shell script for an agent.
func dialDocker(t *testing.T, params methods.Params) (*methods.Conn, error) {
	t.Helper()
	return dialDockerWith(t, params, methodtest.Images(t))
}

func dialDockerWith(t *testing.T, params methods.Params, images *bootstrap.Images) (*methods.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	conn, err := methods.Dial(ctx, methods.Request{
		Spec:   methods.Spec{Method: "docker", Params: params},
		Agent:  bootstrap.Config{ID: 7, ParentIDs: []uint32{0}},
		Images: images,
	})
	if err == nil {
		t.Cleanup(func() { conn.Close() })
	}
	return conn, err
}

func TestDockerMethod(t *testing.T) {
	for name, params := range map[string]methods.Params{
		"container":             {"container": bed.Tiny},
		"container and account": {"container": bed.Tiny, "username": "alice"},
		"image":                 {"image": "fk-tiny"},
		"image and account":     {"image": "fk-tiny", "username": "1000"},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := dialDocker(t, params)
			if err != nil {
				t.Fatal(err)
			}
			sent := make([]byte, 1<<20)
			for i := range sent {
				sent[i] = byte(i ^ i>>8)
			}
			go conn.Write(sent) // ends when all is written, or with the Conn
			got := make([]byte, len(sent))
			if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, sent) {
				t.Fatalf("what came back is not what was sent: %v", err)
			}
			if err := conn.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if rest, err := io.ReadAll(conn); len(rest) > 0 || err != nil {
				t.Errorf("after the end: %q, %v", rest, err)
			}
			if err := conn.Close(); err != nil || conn.Exited(t.Context()) != "exit status 0" {
				t.Errorf("%v, docker ended with %s", err, conn.Exited(t.Context()))
			}
		})
	}
}

// A container that was made for the context goes with it.
func TestDockerMethodRemoves(t *testing.T) {
	before := containers(t)
	conn, err := dialDocker(t, methods.Params{"image": "fk-tiny"})
	if err != nil {
		t.Fatal(err)
	}
	if now := containers(t); now != before+1 {
		t.Errorf("%d containers, there were %d", now, before)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if now := containers(t); now != before {
		t.Errorf("%d containers, there were %d", now, before)
	}
}

func containers(t *testing.T) int {
	t.Helper()
	out, err := exec.Command("docker", "-H", b.Docker, "ps", "-aq").Output()
	if err != nil {
		t.Fatal(err)
	}
	return len(strings.Fields(string(out)))
}

// shipped are the images that `make build` has made.
func shipped(t *testing.T) *bootstrap.Images {
	t.Helper()
	im, err := bootstrap.NewImages(images.FS(), "")
	if err != nil {
		t.Fatal(err)
	}
	return im
}

// The real agent gets a socket past the engine, whoever it runs as; the engine's streams carry nothing more.
func TestDockerLinkPassesTheEngine(t *testing.T) {
	for name, params := range map[string]methods.Params{
		"container":             {"container": bed.Tiny},
		"container and account": {"container": bed.Tiny, "username": "alice"},
		"image":                 {"image": "fk-tiny"},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := dialDockerWith(t, params, shipped(t))
			if err != nil {
				t.Fatal(err)
			}
			if !conn.Bypass {
				t.Fatal("the link goes through the engine")
			}
			r := router.New(router.Config{Unidirectional: true})
			defer r.Close()
			c, err := r.AddLink(conn, router.LinkConfig{Remote: 7, Name: "child"})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			info, err := session.GetInfo(ctx, c)
			if err != nil || info.PID > 1000 {
				t.Errorf("%+v, %v", info, err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			if status := conn.Exited(ctx); status != "exit status 0" {
				t.Errorf("docker ended with %q", status)
			}
		})
	}
}

func TestDockerMethodErrors(t *testing.T) {
	for name, c := range map[string]struct {
		params methods.Params
		want   string
	}{
		"no container": {methods.Params{"container": "nope"}, "No such container: nope"},
		"no account":   {methods.Params{"container": bed.Tiny, "username": "nope"}, "unable to find user nope: no matching entries in passwd file"},
		"no docker":    {methods.Params{"container": bed.Tiny, "docker_path": "nope"}, "start docker: executable file not found"},
	} {
		begin := time.Now()
		_, err := dialDocker(t, c.params)
		if err == nil || !strings.HasSuffix(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: the error is %v, want %s", name, err, c.want)
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("%s: it took %v", name, took)
		}
	}
}

// When the container is killed the link ends at once, and says why, whichever way it goes.
func TestDockerMethodLost(t *testing.T) {
	t.Run("through the engine", func(t *testing.T) { lost(t, methodtest.Images(t)) })
	t.Run("past it", func(t *testing.T) { lost(t, shipped(t)) })
}

func lost(t *testing.T, images *bootstrap.Images) {
	const name = "fk-lost"
	if err := exec.Command("docker", "-H", b.Docker, "run", "-d", "--rm", "--name", name, "--network", "none", "fk-tiny").Run(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { exec.Command("docker", "-H", b.Docker, "rm", "-f", name).Run() })
	conn, err := dialDockerWith(t, methods.Params{"container": name}, images)
	if err != nil {
		t.Fatal(err)
	}
	if err := exec.Command("docker", "-H", b.Docker, "kill", name).Run(); err != nil {
		t.Fatal(err)
	}
	_, err = io.ReadAll(conn)
	var eof *methods.EOFError
	if !errors.As(err, &eof) || eof.Status != "exit status 137" {
		t.Errorf("Read gave %v", err)
	}
}

// When only the docker program is killed, the agent goes too.
func TestDockerProgramLost(t *testing.T) {
	conn, err := dialDockerWith(t, methods.Params{"container": bed.Tiny, "remote_name": "orphan"}, shipped(t))
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("pgrep", "-P", strconv.Itoa(os.Getpid()), "-f", "exec --interactive "+bed.Tiny+".*n:orphan").Output()
	if err == nil {
		err = exec.Command("kill", "-9", strings.TrimSpace(string(out))).Run()
	}
	if err != nil {
		t.Fatal(err)
	}
	var eof *methods.EOFError
	if _, err = io.ReadAll(conn); !errors.As(err, &eof) || eof.Status != "signal: killed" {
		t.Errorf("Read gave %v", err)
	}
	if !bed.Eventually(t.Context(), 10*time.Second, func() bool { return exec.Command("pgrep", "-f", "agent 7.*n:orphan").Run() != nil }) {
		t.Error("the agent is still there")
	}
}
