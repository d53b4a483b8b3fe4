package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"fakessh"
)

type controlServer struct{}

func (d *daemon) listenControl() (*controlServer, error) { return &controlServer{}, nil }
func (c *controlServer) serve()                          {}
func (c *controlServer) close()                          {}

func askTree(ctx context.Context, cfg *config) ([]fakessh.Node, error) {
	return nil, errors.New("later")
}

func runCommand(opt *options, std stdio) *cobra.Command { return &cobra.Command{Use: "run"} }
func sshCommand(opt *options, std stdio) *cobra.Command { return &cobra.Command{Use: "ssh"} }
