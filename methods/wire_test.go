package methods

import (
	"reflect"
	"testing"
)

func TestWire(t *testing.T) {
	params := Params{
		"hostname": "h", "port": 22, "keepalive_count": int64(3), "connect_timeout": 1.5, "compression": true,
		"password": Secret("x"), "ssh_args": []any{"-4", "-C"}, "ciphers": []string{"a"}, "username": nil,
	}
	want := map[string]any{
		"hostname": "h", "port": int64(22), "keepalive_count": int64(3), "connect_timeout": 1.5, "compression": true,
		"password": Secret("x"), "ssh_args": []string{"-4", "-C"}, "ciphers": []string{"a"},
	}
	if wire := params.Wire(); !reflect.DeepEqual(wire, want) {
		t.Fatalf("the wire has %#v", wire)
	}
	if params["port"] != 22 {
		t.Error("the parameters have changed")
	}
	odd := Params{"ssh_args": []any{"-4", 1}}
	m, _ := Lookup("ssh")
	if m.Check(odd) == nil || m.Check(odd.Wire()) == nil {
		t.Error("a list with a number in it is accepted")
	}
}

// Whatever travels can be checked without harm, and what Check accepts makes the same arguments at the other end.
func FuzzWire(f *testing.F) {
	f.Add("ssh", "hostname", "h", 22, true, 0)
	f.Add("docker", "container", "-x", 0, false, 1)
	f.Add("sudo", "sudo_args", "-Eubob", 1, true, 2)
	f.Add("exec", "command", "sh", 1, true, 2)
	f.Add("ssh", "password", "x\ny", 1, true, 3)
	f.Fuzz(func(t *testing.T, method, name, text string, n int, b bool, kind int) {
		values := []any{text, n, []any{text, name}, Secret(text), b, float64(n) / 3, []any{n}, nil}
		params := Params{"hostname": text, "port": n, "container": text, "username": name}
		params[name] = values[(kind%len(values)+len(values))%len(values)]
		m, ok := Lookup(method)
		if !ok {
			return
		}
		here, err := m.Argv(params, []string{"sh"})
		if (err == nil) != (m.Check(params) == nil) {
			t.Fatal("Argv and Check disagree")
		}
		there, err2 := m.Argv(params.Wire(), []string{"sh"})
		if !reflect.DeepEqual(here, there) || (err == nil) != (err2 == nil) {
			t.Errorf("%q, %v is %q, %v at the other end", here, err, there, err2)
		}
		_ = m.ContextName(params)
	})
}
