package integration

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"fakessh/bootstrap"
	"fakessh/integration/bed"
	"fakessh/methods"
	"fakessh/methods/methodtest"
)

// dialDocker connects by the docker method alone, without a gateway.
func dialDocker(t *testing.T, params methods.Params) (*methods.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	conn, err := methods.Dial(ctx, methods.Request{
		Spec:   methods.Spec{Method: "docker", Params: params},
		Agent:  bootstrap.Config{ID: 7, ParentIDs: []uint32{0}},
		Images: methodtest.Images(t),
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

// When the container is killed the link ends at once, and says why.
func TestDockerMethodLost(t *testing.T) {
	const name = "fk-lost"
	if err := exec.Command("docker", "-H", b.Docker, "run", "-d", "--rm", "--name", name, "--network", "none", "fk-tiny").Run(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { exec.Command("docker", "-H", b.Docker, "rm", "-f", name).Run() })
	conn, err := dialDocker(t, methods.Params{"container": name})
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
