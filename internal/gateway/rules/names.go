package rules

import "strings"

// segment is one part of a namespace's pattern between slashes.
type segment struct {
	text string // or the name of the wildcard
	wild bool
	rest bool // takes all that follows
}

// pathPattern is the name of a namespace or a pattern, as node has them.
type pathPattern []segment

// parsePath reads a name or pattern that template.PathNames has found to be right.
func parsePath(pattern string) pathPattern {
	var p pathPattern
	for part := range strings.SplitSeq(pattern[1:], "/") {
		inner, wild := strings.CutPrefix(part, "{")
		if !wild {
			p = append(p, segment{text: part})
			continue
		}
		name, rest := strings.CutSuffix(strings.TrimSuffix(inner, "}"), "...")
		p = append(p, segment{text: name, wild: true, rest: rest})
	}
	return p
}

// plain tells whether p is a name.
func (p pathPattern) plain() bool {
	for _, s := range p {
		if s.wild {
			return false
		}
	}
	return true
}

// has tells whether p has a wildcard.
func (p pathPattern) has(wildcard string) bool {
	for _, s := range p {
		if s.wild && s.text == wildcard {
			return true
		}
	}
	return false
}

// match tells whether p takes a name.
func (p pathPattern) match(name string) bool {
	_, ok := p.walk(name, "")
	return ok
}

// value returns what stands in name for a wildcard, "" without one.
func (p pathPattern) value(name, wildcard string) string {
	value, _ := p.walk(name, wildcard)
	return value
}

func (p pathPattern) walk(name, wildcard string) (value string, ok bool) {
	rest, ok := strings.CutPrefix(name, "/")
	if !ok {
		return "", false
	}
	for i, s := range p {
		part, after, more := strings.Cut(rest, "/")
		if s.rest {
			part, more = rest, false
		}
		last := i == len(p)-1
		if more == last || s.wild && part == "" || !s.wild && part != s.text {
			return "", false
		}
		if s.wild && s.text == wildcard {
			value = part
		}
		rest = after
	}
	return value, true
}
