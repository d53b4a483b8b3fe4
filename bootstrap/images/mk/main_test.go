package main

import (
	"os"
	"path/filepath"
	"testing"

	"fakessh/bootstrap"
)

const program = "fakessh/bootstrap/testdata/echoagent"

func TestBuildIsDeterministicAndLazy(t *testing.T) {
	dir := t.TempDir()
	index := filepath.Join(dir, "fakessh-index")
	gz := filepath.Join(dir, "fakessh-linux-arm64.gz")
	if err := build([]string{"linux/arm64", "linux/amd64"}, program, dir); err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(index)
	if err != nil {
		t.Fatal(err)
	}
	before := stat(t, gz)

	if err := build([]string{"linux/arm64", "linux/amd64"}, program, dir); err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(before, stat(t, gz)) {
		t.Error("an image that had not changed was written again")
	}

	os.Remove(gz)
	if err := build([]string{"linux/arm64", "linux/amd64"}, program, dir); err != nil {
		t.Fatal(err)
	}
	if again, _ := os.ReadFile(index); string(again) != string(first) {
		t.Errorf("second build differs:\n%s%s", first, again)
	}
}

func TestBuildRemovesOtherPlatforms(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"fakessh-plan9-amd64.gz", "fakessh-none"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := build([]string{"linux/amd64"}, program, dir); err != nil {
		t.Fatal(err)
	}
	stat(t, filepath.Join(dir, "fakessh-none"))
	im, err := bootstrap.NewImages(os.DirFS(dir), "")
	if err != nil {
		t.Fatal(err)
	}
	if got := im.Platforms(); len(got) != 1 || got[0] != "linux/amd64" {
		t.Errorf("images for %q", got)
	}
}

func TestBuildFailureNamesThePlatform(t *testing.T) {
	dir := t.TempDir()
	if err := build([]string{"linux"}, program, dir); err == nil {
		t.Error("half a platform was accepted")
	}
	if _, err := os.Stat(filepath.Join(dir, "fakessh-index")); err == nil {
		t.Error("an index was written")
	}
}

func stat(t *testing.T, path string) os.FileInfo {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}
