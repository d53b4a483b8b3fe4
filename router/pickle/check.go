package pickle

import "math/big"

// check walks a finished value once: no deeper than maxDepth, no heavier than
// its pickle permits, and nothing in it that is no value.
func (d *decoder) check(v any) error {
	c := checker{limit: d.limit()}
	if d.shared {
		c.seen = make(map[any]span)
	}
	switch _, problem := c.walk(v, 0); problem {
	case "":
		return nil
	case deniedValue:
		return d.deny(problem)
	default:
		return d.fail(problem)
	}
}

const (
	deniedValue = "a global where a value belongs"
	tooDeep     = "nested too deeply"
)

// span is how deep and how heavy a value is.
type span struct {
	depth  int
	weight int64
}

type checker struct {
	limit int64
	seen  map[any]span // containers already walked, by identity; nil when none can occur twice
}

// walk measures v, which stands at depth. Thanks to seen, each container is
// walked once, however often it occurs.
func (c *checker) walk(v any, depth int) (span, string) {
	switch v := v.(type) {
	case nil, bool, int64, float64, ContextRef, SenderRef:
		return span{0, nodeWeight}, ""
	case string:
		return span{0, nodeWeight + int64(len(v))}, ""
	case Secret:
		return span{0, nodeWeight + int64(len(v))}, ""
	case CallError:
		return span{0, nodeWeight + int64(len(v))}, ""
	case []byte:
		return span{0, nodeWeight + int64(len(v))}, ""
	case Blob:
		return span{0, nodeWeight + int64(len(v))}, ""
	case *big.Int:
		return span{0, nodeWeight + int64(v.BitLen()/8)}, ""
	case Tuple:
		if len(v) == 0 {
			return span{0, nodeWeight}, ""
		}
		return c.container(&v[0], v, nil, depth)
	case *List:
		return c.container(v, v.Items, nil, depth)
	case Kwargs:
		if !textKeys(v.Dict) { // a dict that was filled after it became the Kwargs
			return span{}, deniedValue
		}
		return c.walk(v.Dict, depth)
	case *Dict:
		return c.container(v, nil, v.entries, depth)
	}
	return span{}, deniedValue
}

// container measures the container id, which holds items or entries.
func (c *checker) container(id any, items []any, entries []entry, depth int) (span, string) {
	if s, ok := c.seen[id]; ok {
		if depth+s.depth > maxDepth {
			return s, tooDeep
		}
		return s, ""
	}
	if depth >= maxDepth {
		return span{}, tooDeep
	}
	total, problem := span{1, nodeWeight}, ""
	for i := 0; i < len(items) && problem == ""; i++ {
		problem = c.add(&total, items[i], depth)
	}
	for i := 0; i < len(entries) && problem == ""; i++ {
		if problem = c.add(&total, entries[i].key, depth); problem == "" {
			problem = c.add(&total, entries[i].value, depth)
		}
	}
	if problem == "" && c.seen != nil {
		c.seen[id] = total
	}
	return total, problem
}

// add adds v, which stands in a container at depth, to that container's total.
func (c *checker) add(total *span, v any, depth int) (problem string) {
	in, problem := c.walk(v, depth+1)
	total.depth = max(total.depth, in.depth+1)
	if total.weight += in.weight; problem == "" && total.weight > c.limit {
		problem = "value too large"
	}
	return problem
}
