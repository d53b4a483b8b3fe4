package main

import (
	"log/slog"

	"fakessh"
	"fakessh/bootstrap"
)

// newTree is the tree that the configuration describes.
func newTree(cfg *config, im *bootstrap.Images, log *slog.Logger) (*fakessh.Tree, error) {
	tc := cfg.treeConfig(im)
	tc.Logger = log
	return fakessh.NewTree(tc)
}

// ownTree is a tree for a command that finds no running gateway.
func ownTree(cfg *config) (*fakessh.Tree, error) {
	im, err := loadImages()
	if err != nil {
		return nil, err
	}
	return newTree(cfg, im, nil)
}
