package main

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"

	"fakessh"
)

// noDaemon says that nobody listens on the control socket.
func noDaemon(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}

// dialControl connects to the running gateway of this configuration.
func dialControl(ctx context.Context, cfg *config) (*net.UnixConn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", cfg.ControlSocket)
	if err != nil {
		return nil, err
	}
	return c.(*net.UnixConn), nil
}

// ownTree is a tree for a command that finds no running gateway.
func ownTree(cfg *config) (*fakessh.Tree, error) {
	im, err := loadImages()
	if err != nil {
		return nil, err
	}
	return fakessh.NewTree(cfg.tree(im, nil))
}
