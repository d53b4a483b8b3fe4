package methods

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

func TestParamKinds(t *testing.T) {
	for _, c := range []struct {
		param Param
		in    any
		want  any // nil: an error
	}{
		{Param{Kind: KindString}, "a", "a"},
		{Param{Kind: KindString}, 1, nil},
		{Param{Kind: KindString}, "a\x00", nil},
		{Param{Kind: KindString, Operand: true}, "-a", nil},
		{Param{Kind: KindString, Operand: true}, "a-", "a-"},
		{Param{Kind: KindString, Operand: true}, "a\nb", nil},
		{Param{Kind: KindString, Choices: []string{"a", "b"}}, "c", nil},
		{Param{Kind: KindBool}, true, true},
		{Param{Kind: KindBool}, "true", nil},
		{Param{Kind: KindInt}, 3, int64(3)},
		{Param{Kind: KindInt}, uint64(3), int64(3)},
		{Param{Kind: KindInt}, 3.0, int64(3)},
		{Param{Kind: KindInt}, 3.5, nil},
		{Param{Kind: KindInt}, uint64(math.MaxUint64), nil},
		{Param{Kind: KindInt, Min: 1, Max: 3}, 4, nil},
		{Param{Kind: KindSeconds}, 2, 2.0},
		{Param{Kind: KindSeconds}, 0.5, 0.5},
		{Param{Kind: KindSeconds}, 0, nil},
		{Param{Kind: KindSeconds}, math.NaN(), nil},
		{Param{Kind: KindSeconds}, math.Inf(1), nil},
		{Param{Kind: KindSecret}, "x", Secret("x")},
		{Param{Kind: KindSecret}, Secret("x"), Secret("x")},
		{Param{Kind: KindSecret}, "x\ny", nil},
		{Param{Kind: KindSecret}, strings.Repeat("x", 5000), nil},
		{Param{Kind: KindList}, []any{"a", 1}, nil},
		{Param{Kind: KindList}, "a", nil},
	} {
		got, err := c.param.value(c.in)
		if (err == nil) != (c.want != nil) || err == nil && got != c.want {
			t.Errorf("%s of %#v is %#v, %v; want %#v", c.param.Kind, c.in, got, err, c.want)
		}
	}
}

// The registry is complete and in order, and every parameter can be explained.
func TestRegistry(t *testing.T) {
	names := []string{}
	for _, m := range All() {
		names = append(names, m.Name)
		if m.Help == "" || m.argv == nil {
			t.Errorf("%s lacks help or argv", m.Name)
		}
		if _, ok := m.Param(m.Short); m.Short != "" && !ok {
			t.Errorf("%s has no parameter %q to be short for", m.Name, m.Short)
		}
		for _, p := range append(slices.Clone(m.Params), CommonParams()...) {
			checkParam(t, m, p)
		}
	}
	if !slices.IsSorted(names) {
		t.Errorf("%q is not in order", names)
	}
	if _, ok := Lookup("nonsense"); ok {
		t.Error("there is a method called nonsense")
	}
}

func checkParam(t *testing.T, m *Method, p Param) {
	if p.Help == "" {
		t.Errorf("%s: %s lacks help", m.Name, p.Name)
	}
	if p.Default == nil {
		return
	}
	if got, err := p.value(p.Default); err != nil || got != p.Default {
		t.Errorf("%s: the default of %s reads as %#v, %v", m.Name, p.Name, got, err)
	}
}

func TestCommonParams(t *testing.T) {
	v, err := localMethod.values(Params{"connect_timeout": 5, "debug": true, "remote_name": nil})
	if err != nil || v.duration("connect_timeout").Seconds() != 5 || !v.flag("debug") || v.text("remote_name") != "" {
		t.Errorf("values are %v, %v", v, err)
	}
	if v, _ = localMethod.values(nil); v.duration("connect_timeout") != DefaultTimeout {
		t.Errorf("the default is %v", v.duration("connect_timeout"))
	}
	if v, _ = localMethod.values(Params{"connect_timeout": 1e300}); v.duration("connect_timeout") <= 0 {
		t.Errorf("a very long time is %v", v.duration("connect_timeout"))
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	spec := Spec{Method: "ssh", Params: Params{"hostname": "h", "password": Secret("hush")}}
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{fmt.Sprint(spec), fmt.Sprintf("%+v %#v %s %q", spec, spec, spec, spec), string(text)} {
		if strings.Contains(s, "hush") || !strings.Contains(s, "[secret]") {
			t.Errorf("prints as %s", s)
		}
	}
}
