package methods

import "slices"

// all lists every method in order of name: one line each.
var all = []*Method{
	dockerMethod,
	execMethod,
	localMethod,
	setuidMethod,
	sshMethod,
	sudoMethod,
}

// All lists every method in order of name. The methods are shared and must not be changed.
func All() []*Method { return slices.Clone(all) }

// Lookup finds the method of that name.
func Lookup(name string) (*Method, bool) {
	for _, m := range all {
		if m.Name == name {
			return m, true
		}
	}
	return nil, false
}
