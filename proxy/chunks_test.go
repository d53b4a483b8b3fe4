package proxy

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"fakessh/router"
)

// queuedChunks gives what waits, then an error.
type queuedChunks struct {
	waiting []router.Chunk
	err     error
}

func (q *queuedChunks) TryNext() (router.Chunk, bool) {
	if len(q.waiting) == 0 {
		return router.Chunk{}, false
	}
	c := q.waiting[0]
	q.waiting = q.waiting[1:]
	return c, true
}

func (q *queuedChunks) Next() (router.Chunk, error) {
	if c, ok := q.TryNext(); ok {
		return c, nil
	}
	return router.Chunk{}, q.err
}

// packetLog notes writes by their writer and length.
type packetLog struct {
	name   string
	writes *[]string
	err    error
}

func (p packetLog) Write(b []byte) (int, error) {
	*p.writes = append(*p.writes, fmt.Sprintf("%s %d", p.name, len(b)))
	return len(b), p.err
}

func TestChunksThatWaitAreOnePacket(t *testing.T) {
	chunk := func(class router.Class, n int) router.Chunk { return router.Chunk{Class: class, Data: make([]byte, n)} }
	lost := errors.New("lost")
	tests := []struct {
		waiting []router.Chunk
		err     error
		want    []string
	}{
		{nil, io.EOF, nil},
		{[]router.Chunk{chunk(0, 5)}, io.EOF, []string{"out 5"}},
		{[]router.Chunk{chunk(0, 5), chunk(0, 6), chunk(0, 7)}, lost, []string{"out 18"}},
		{[]router.Chunk{chunk(0, 5), chunk(1, 6), chunk(1, 7), chunk(0, 1)}, io.EOF, []string{"out 5", "err 13", "out 1"}},
		{[]router.Chunk{chunk(0, packetData), chunk(0, packetData), chunk(0, 1)}, io.EOF, []string{"out 32768", "out 32768", "out 1"}},
		{[]router.Chunk{chunk(0, 20000), chunk(0, 12768), chunk(0, 1), chunk(0, packetData)}, io.EOF, []string{"out 32768", "out 1", "out 32768"}},
	}
	for _, tt := range tests {
		var got []string
		err := writeChunks(&queuedChunks{slices.Clone(tt.waiting), tt.err}, packetLog{"out", &got, nil}, packetLog{"err", &got, nil})
		if !slices.Equal(got, tt.want) || err != nil && err != tt.err || err == nil && tt.err != io.EOF {
			t.Errorf("got %q, %v; want %q, %v", got, err, tt.want, tt.err)
		}
	}
}

func TestJoinedChunksAreInOrder(t *testing.T) {
	var want strings.Builder
	q := &queuedChunks{err: io.EOF}
	for i := range 5000 {
		text := strings.Repeat(fmt.Sprintln(i), 1+i%7)
		want.WriteString(text)
		q.waiting = append(q.waiting, router.Chunk{Data: []byte(text)})
	}
	var got strings.Builder
	if err := writeChunks(q, &got, io.Discard); err != nil || got.String() != want.String() {
		t.Errorf("%d bytes of %d, or others; %v", got.Len(), want.Len(), err)
	}
}

func TestChunksEndWithTheirWriter(t *testing.T) {
	gone := errors.New("gone")
	var got []string
	q := &queuedChunks{waiting: []router.Chunk{{Data: []byte("a")}, {Class: 1, Data: []byte("b")}, {Data: []byte("c")}}, err: io.EOF}
	err := writeChunks(q, packetLog{"out", &got, gone}, packetLog{"err", &got, nil})
	if err != gone || len(got) != 1 {
		t.Errorf("got %v after %q", err, got)
	}
}
