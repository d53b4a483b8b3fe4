package proxy

import (
	"errors"
	"io"
	"sync"

	"fakessh/router"
)

// chunkSource is a *router.Stream, as its reader sees it.
type chunkSource interface {
	Next() (router.Chunk, error)
	TryNext() (router.Chunk, bool)
}

// packetData is what one SSH packet carries, bytes: as much as one frame of a stream.
const packetData = 32 << 10

// packets are buffers to join chunks in.
var packets = sync.Pool{New: func() any { return new([packetData]byte) }}

// writeChunks writes what src gives until its EOF: one loop, one copy (into the SSH packet), and credit goes back when that is
// written. A program that writes line by line gives small chunks; those that wait together become one packet. Nothing waits for more.
func writeChunks(src chunkSource, stdout, stderr io.Writer) error {
	outs := [...]io.Writer{router.Main: stdout, router.Extended: stderr}
	for {
		chunk, err := src.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for more := true; more; {
			if chunk, more, err = writeJoined(src, chunk, outs[chunk.Class]); err != nil {
				chunk.Release()
				return err
			}
		}
	}
}

// writeJoined writes first, with the chunks behind it that are there and fit into its packet. It returns the one that did not fit.
func writeJoined(src chunkSource, first router.Chunk, w io.Writer) (next router.Chunk, more bool, err error) {
	defer first.Release()
	if next, more = src.TryNext(); !more || !fits(first, len(first.Data), next) {
		_, err = w.Write(first.Data)
		return next, more, err
	}
	buf := packets.Get().(*[packetData]byte)
	defer packets.Put(buf)
	n := copy(buf[:], first.Data)
	for more && fits(first, n, next) {
		n += copy(buf[n:], next.Data)
		next.Release()
		next, more = src.TryNext()
	}
	_, err = w.Write(buf[:n])
	return next, more, err
}

// fits reports whether next may follow the n bytes that begin with first in one packet.
func fits(first router.Chunk, n int, next router.Chunk) bool {
	return next.Class == first.Class && n+len(next.Data) <= packetData
}
