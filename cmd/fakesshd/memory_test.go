package main

import (
	"runtime"
	"testing"
)

func TestTrimmingIsForQuietHeaps(t *testing.T) {
	const much, little = 2 * trimWorth, trimWorth / 2
	for _, tt := range []struct {
		name   string
		before trimmer
		now    heapUse
		want   bool
	}{
		{"after a flood", trimmer{heapUse{allocated: much}, little}, heapUse{held: much, allocated: much + little}, true},
		{"in a flood", trimmer{heapUse{allocated: much}, little}, heapUse{held: much, allocated: 2 * much}, false},
		{"little", trimmer{heapUse{}, 0}, heapUse{held: little, idle: little}, false},
		{"in use, as the last collection has shown", trimmer{heapUse{}, much}, heapUse{held: much}, false},
		{"no longer in use, as the runtime has found", trimmer{heapUse{}, much}, heapUse{held: much, idle: trimWorth + 1}, true},
	} {
		if got := tt.before.worth(tt.now); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
	sunk := trimmer{heapUse{}, 2 * much}
	if sunk.worth(heapUse{held: little}) || !sunk.worth(heapUse{held: much}) {
		t.Error("the floor does not sink")
	}
}

// What a flood leaves goes back, though no collection has been since.
func TestFloodsAreGivenBack(t *testing.T) {
	var tr trimmer
	tr.trim()
	flood := make([][]byte, 128)
	for i := range flood {
		flood[i] = make([]byte, 1<<20)
	}
	if tr.worth(readHeap()) {
		t.Error("it is not quiet")
	}
	runtime.KeepAlive(flood)
	if use := readHeap(); !tr.worth(use) {
		t.Errorf("not worth it: %+v", use)
	}
	tr.trim()
	if use := readHeap(); use.held > trimWorth {
		t.Errorf("still held: %+v", use)
	}
}
