package methods

import (
	"reflect"
	"testing"
)

func TestWire(t *testing.T) {
	spec := Spec{Method: "ssh", Params: Params{
		"hostname": "h", "port": 22, "keepalive_count": int64(3), "connect_timeout": 1.5, "compression": true,
		"password": Secret("x"), "ssh_args": []string{"-4", "-C"}, "username": nil,
	}}
	want := map[string]any{"method": "ssh", "params": map[string]any{
		"hostname": "h", "port": int64(22), "keepalive_count": int64(3), "connect_timeout": 1.5, "compression": true,
		"password": Secret("x"), "ssh_args": []any{"-4", "-C"},
	}}
	wire := spec.Wire()
	if !reflect.DeepEqual(wire, want) {
		t.Fatalf("the wire has %#v", wire)
	}
	got, err := ParseSpec(wire)
	if err != nil {
		t.Fatal(err)
	}
	if again := got.Wire(); !reflect.DeepEqual(again, want) {
		t.Errorf("there and back it is %#v", again)
	}
	m, _ := Lookup("ssh")
	if err := m.Check(got.Params); err != nil {
		t.Error(err)
	}
}

func TestParseSpecRefuses(t *testing.T) {
	for _, wire := range []map[string]any{
		nil,
		{"method": 1, "params": map[string]any{}},
		{"method": "ssh"},
		{"method": "ssh", "params": []any{}},
		{"method": "ssh", "params": map[string]any{"a": map[string]any{}}},
		{"method": "ssh", "params": map[string]any{"a": []any{1}}},
		{"method": "ssh", "params": map[string]any{"a": nil}},
		{"method": "ssh", "params": map[string]any{"a": []byte("x")}},
	} {
		if spec, err := ParseSpec(wire); err == nil {
			t.Errorf("%v gives %v", wire, spec)
		}
	}
}

// Whatever travels can be checked without harm, and what Check accepts makes the same arguments at the other end.
func FuzzWire(f *testing.F) {
	f.Add("ssh", "hostname", "h", int64(22), true, 0)
	f.Add("docker", "container", "-x", int64(0), false, 1)
	f.Add("sudo", "sudo_args", "-Eubob", int64(1), true, 2)
	f.Add("exec", "command", "sh", int64(1), true, 2)
	f.Add("ssh", "password", "x\ny", int64(1), true, 3)
	f.Fuzz(func(t *testing.T, method, name, text string, n int64, b bool, kind int) {
		values := []any{text, n, []any{text, name}, Secret(text), b, float64(n) / 3}
		wire := map[string]any{"method": method, "params": map[string]any{
			name: values[(kind%len(values)+len(values))%len(values)], "hostname": text, "port": n, "container": text, "username": name,
		}}
		spec, err := ParseSpec(wire)
		if err != nil {
			t.Fatal(err)
		}
		m, ok := Lookup(spec.Method)
		if !ok {
			return
		}
		there, err := m.Argv(spec.Params, []string{"sh"})
		if (err == nil) != (m.Check(spec.Params) == nil) {
			t.Fatal("Argv and Check disagree")
		}
		back, err2 := ParseSpec(spec.Wire())
		if err2 != nil {
			t.Fatal(err2)
		}
		if again, err2 := m.Argv(back.Params, []string{"sh"}); !reflect.DeepEqual(there, again) || (err == nil) != (err2 == nil) {
			t.Errorf("%q, %v is %q, %v at the other end", there, err, again, err2)
		}
		_ = m.ContextName(spec.Params)
	})
}
