package router

import (
	"sync"
	"unsafe"
)

// Frames live in buffers of a few sizes. Whoever gets one puts it back or hands it on, never both.
// sync.Pool bounds what idles: it holds no more than was in use, and gives that to the collector.
var classSizes = [...]int{128, 512, 2 << 10, 8 << 10, 18 << 10, 40 << 10, 128 << 10}

// classes hold pointers to the first byte, because a slice in an interface would be an allocation.
var classes [len(classSizes)]sync.Pool

func classOf(n int) int {
	for i, size := range classSizes {
		if n <= size {
			return i
		}
	}
	return -1
}

// getBuf returns a buffer of length n, with anything in it.
func getBuf(n int) []byte {
	c := classOf(n)
	if c < 0 {
		return make([]byte, n)
	}
	if p, ok := classes[c].Get().(*byte); ok {
		return unsafe.Slice(p, classSizes[c])[:n]
	}
	return make([]byte, n, classSizes[c])
}

// putBuf gives a buffer of getBuf back. One of an odd size is left to the collector.
func putBuf(b []byte) {
	c := classOf(cap(b))
	if c < 0 || classSizes[c] != cap(b) {
		return
	}
	classes[c].Put(unsafe.SliceData(b))
}
