package methods

// Wire returns the parameters in the types in which they travel to an agent: string, bool, int64, float64, []string, and Secret, which
// the caller turns into Mitogen's. Parameters that are not set are left out; what Check refuses may stay as it is.
func (p Params) Wire() map[string]any {
	wire := make(map[string]any, len(p))
	for name, value := range p {
		switch x := value.(type) {
		case nil:
			continue
		case int:
			value = int64(x)
		case []any:
			if texts, ok := allTexts(x); ok {
				value = texts
			}
		}
		wire[name] = value
	}
	return wire
}

func allTexts(list []any) ([]string, bool) {
	texts := make([]string, len(list))
	for i := range list {
		text, ok := list[i].(string)
		if !ok {
			return nil, false
		}
		texts[i] = text
	}
	return texts, true
}
