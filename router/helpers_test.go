package router_test

import (
	"reflect"
	"runtime"
	"testing"

	"fakessh/router/pickle"
)

func tuple(vs ...any) pickle.Tuple {
	if vs == nil {
		vs = []any{}
	}
	return vs
}

func equal(a, b any) bool { return reflect.DeepEqual(a, b) }

func unpickledPair(t testing.TB, data string) [2]int64 {
	t.Helper()
	v, ok := unpickled(t, data).(pickle.Tuple)
	if !ok || len(v) != 2 {
		t.Fatalf("%v is no pair", v)
	}
	return [2]int64{v[0].(int64), v[1].(int64)}
}

func goexit() { runtime.Goexit() }
