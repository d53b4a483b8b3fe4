#!/bin/sh
# Builds the shipped program for every platform into this directory, for images.go to embed.
# Takes the flags of mk, for instance -platforms linux/amd64. Nothing is written when nothing has changed.
cd "$(dirname "$0")/../.." && exec go run ./bootstrap/images/mk "$@"
