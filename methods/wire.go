package methods

import (
	"errors"
	"slices"
)

// Wire is the spec in the types that travel: {"method": text, "params": {…}}, values being string,
// bool, int64, float64, []any of string, or Secret, which the caller turns into Mitogen's Secret.
func (s Spec) Wire() map[string]any {
	params := make(map[string]any, len(s.Params))
	for name, value := range s.Params {
		switch x := value.(type) {
		case nil:
			continue
		case int:
			value = int64(x)
		case []string:
			list := make([]any, len(x))
			for i := range x {
				list[i] = x[i]
			}
			value = list
		}
		params[name] = value
	}
	return map[string]any{"method": s.Method, "params": params}
}

// ParseSpec is the inverse of Wire. It checks the types only; Dial checks the rest.
func ParseSpec(wire map[string]any) (Spec, error) {
	name, ok := wire["method"].(string)
	if !ok {
		return Spec{}, errors.New("spec: method is not a text")
	}
	params, ok := wire["params"].(map[string]any)
	if !ok {
		return Spec{}, errors.New("spec: params is not a dictionary")
	}
	spec := Spec{Method: name, Params: make(Params, len(params))}
	for key, value := range params {
		x, ok := wireValue(value)
		if !ok {
			return Spec{}, errors.New("spec: parameter " + quoted(key) + " has a type that does not travel")
		}
		spec.Params[key] = x
	}
	return spec, nil
}

func wireValue(value any) (any, bool) {
	switch x := value.(type) {
	case string, bool, int64, float64, Secret:
		return x, true
	case int:
		return int64(x), true
	case []string:
		return slices.Clone(x), true
	case []any:
		list := make([]string, len(x))
		for i := range x {
			s, ok := x[i].(string)
			if !ok {
				return nil, false
			}
			list[i] = s
		}
		return list, true
	}
	return nil, false
}
