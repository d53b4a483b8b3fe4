// Package images holds the builds of the shipped program that `make build` has made, one for each platform.
//
// A plain `go build` finds only a placeholder; such a gateway serves its own platform with its own
// executable. Only cmd/fakesshd imports this package: the shipped program would otherwise contain itself.
package images

import (
	"embed"
	"io/fs"
)

//go:embed fakessh-*
var files embed.FS

// FS has the images as bootstrap.NewImages wants them.
func FS() fs.FS { return files }
