package template

import (
	"errors"
	"fmt"
	"strings"
)

// Glob is a pattern in which "*" stands for any characters, also for none. It does
// not change and is safe for concurrent use. The zero value matches the empty text.
type Glob struct {
	pieces []string // what stands between the stars
}

// ParseGlob reads a pattern. It must not be empty, nor longer than [MaxText].
func ParseGlob(pattern string) (Glob, error) {
	switch {
	case pattern == "":
		return Glob{}, errors.New("is empty")
	case len(pattern) > MaxText:
		return Glob{}, fmt.Errorf("is longer than %d bytes", MaxText)
	}
	return Glob{strings.Split(pattern, "*")}, nil
}

// Match tells whether the whole of s fits. It takes time in proportion to the
// lengths, whatever they are made of, and does not allocate.
func (g Glob) Match(s string) bool {
	if len(g.pieces) == 0 {
		return s == ""
	}
	first, last := g.pieces[0], g.pieces[len(g.pieces)-1]
	if len(g.pieces) == 1 {
		return s == first
	}
	if len(s) < len(first)+len(last) || !strings.HasPrefix(s, first) || !strings.HasSuffix(s, last) {
		return false
	}
	// The leftmost place of each piece leaves the most room for the next ones.
	s = s[len(first) : len(s)-len(last)]
	for _, piece := range g.pieces[1 : len(g.pieces)-1] {
		i := strings.Index(s, piece)
		if i < 0 {
			return false
		}
		s = s[i+len(piece):]
	}
	return true
}

// String returns the pattern. In one by [Template.ExpandGlob] stars of values cannot
// be told from others.
func (g Glob) String() string { return strings.Join(g.pieces, "*") }

// Match tells whether s fits pattern, in which "*" stands for any characters. Who asks
// for the same pattern often keeps a [Glob].
func Match(pattern, s string) bool {
	head, tail, star := strings.Cut(pattern, "*")
	if !star {
		return s == pattern
	}
	rest, ok := strings.CutPrefix(s, head)
	for ok {
		if head, pattern, star = strings.Cut(tail, "*"); !star {
			return strings.HasSuffix(rest, head)
		}
		_, rest, ok = strings.Cut(rest, head)
		tail = pattern
	}
	return false
}
