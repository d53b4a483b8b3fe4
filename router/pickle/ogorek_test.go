package pickle

import (
	"bytes"
	"fmt"
	"math/big"
	"testing"

	ogorek "github.com/kisielk/og-rek"
)

// og-rek is a second opinion on the opcodes. It knows neither identity nor
// Mitogen's globals, and reads a list that occurs twice wrongly, so those are left out.
func TestOgorekAgrees(t *testing.T) {
	leftOut := map[string]bool{"shared_list": true, "shared_dict": true, "surrogate": true}
	for name, want := range vectors {
		if leftOut[name] {
			continue
		}
		ours, err := Append(nil, want)
		if err != nil {
			t.Fatal(err)
		}
		for what, data := range map[string][]byte{"captured": vector(t, "pickle_"+name), "written": ours} {
			dec := ogorek.NewDecoderWithConfig(bytes.NewReader(data), &ogorek.DecoderConfig{StrictUnicode: true, PyDict: true})
			v, err := dec.Decode()
			if err != nil {
				t.Errorf("%s, %s: %v", name, what, err)
				continue
			}
			if got := fromOgorek(v); !equal(got, want) {
				t.Errorf("%s, %s: og-rek has %#v, want %#v", name, what, got, want)
			}
		}
	}
}

// fromOgorek maps og-rek's values to ours.
func fromOgorek(v any) any {
	switch v := v.(type) {
	case ogorek.None:
		return nil
	case ogorek.ByteString:
		return []byte(v)
	case ogorek.Bytes:
		return []byte(v)
	case *big.Int:
		if v.IsInt64() {
			return v.Int64()
		}
		return v
	case []any:
		return &List{Items: mapItems(v)}
	case ogorek.Tuple:
		return Tuple(mapItems(v))
	case ogorek.Dict:
		d := NewDict()
		v.Iter()(func(key, value any) bool {
			d.Set(fromOgorek(key), fromOgorek(value))
			return true
		})
		return d
	case ogorek.Call:
		return fromOgorekCall(v)
	}
	return v
}

func mapItems(items []any) []any {
	var out []any
	for _, item := range items {
		out = append(out, fromOgorek(item))
	}
	return out
}

func fromOgorekCall(c ogorek.Call) any {
	var g global
	g, _ = globalOf([]byte(c.Callable.Module), []byte(c.Callable.Name))
	v, problem := g.call(Tuple(mapItems(c.Args)))
	if problem != "" {
		return fmt.Errorf("cannot make %s", problem)
	}
	return v
}
