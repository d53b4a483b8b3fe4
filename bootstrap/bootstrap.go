// Package bootstrap turns a byte stream with a bare shell at its end into a link with an agent at its end.
package bootstrap

import (
	"context"
	"io"
	"io/fs"
	"time"
)

// Config is what the agent has to know about itself. It travels as arguments of the first stage.
type Config struct {
	ID             uint32
	ParentIDs      []uint32 // nearest first
	Unidirectional bool
	MaxMessage     int
	RemoteName     string // label in the agent's argv[0]
	NoCache        bool   // unlink the image before the first frame
	Debug          bool
}

// Images chooses builds of the shipped program by platform.
type Images struct{}

// Platform is what `uname -sm` says, normalised: "linux/amd64".
type Platform string

// NewImages reads an fs.FS of "fakessh-OS-ARCH.gz" files. self, when not "", is an
// executable that serves the own platform where the FS has no image for it.
func NewImages(fsys fs.FS, self string) (*Images, error) { panic("unwritten") }

// Add makes a further image (uncompressed executable file at path) known.
func (im *Images) Add(p Platform, path string) error { panic("unwritten") }

// Path returns a local executable file for p, e.g. to be started as `ssh` by Run.
func (im *Images) Path(p Platform) (string, error) { panic("unwritten") }

// Argv is the command to run at the far end: sh -c SCRIPT …. local says that the stream is local-like (send the image uncompressed).
func Argv(im *Images, cfg Config, local bool) ([]string, error) { panic("unwritten") }

// Options for Start.
type Options struct {
	PTY   bool // the stream goes through a pty: stty raw -echo and the READY marker come first
	Local bool
	// Noise takes what the far side prints before the hello, line by line; nil discards. (It is kept for the error anyway.)
	Noise func(line string)
}

// Ready is what the agent said.
type Ready struct {
	Platform Platform
	Version  string
	Caps     []string
	Cached   bool
	Uploaded time.Duration
	// Stream is rw less what the handshake has read.
	Stream io.ReadWriter
}

// Start speaks to the first stage that Argv started: hello, upload if wanted, ready. ctx ends it (the caller closes rw then).
// Errors are *StageError.
func Start(ctx context.Context, rw io.ReadWriter, im *Images, cfg Config, opt Options) (*Ready, error) {
	panic("unwritten")
}

// StageError says how far it got and what the far side printed.
type StageError struct {
	Stage    string   // "hello", "upload", "ready"
	Tail     []string // the last lines of the far side
	Platform Platform
	Err      error
}

func (e *StageError) Error() string { panic("unwritten") }
func (e *StageError) Unwrap() error { return e.Err }

// NeedImageError: the far side's platform has no image here.
type NeedImageError struct{ Platform Platform }

func (e *NeedImageError) Error() string { return "no image for " + string(e.Platform) }
