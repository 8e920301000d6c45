package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/fanwire/fanwire/internal/gateway/command"
)

// maxDepth is how deep arrays and objects of a body may be nested (HRD-05).
const maxDepth = 128

// maxProblems is how many problems of one body are told.
const maxProblems = 100

// body reads JSON strictly: names count as they are written, each stands once, none
// is unknown, and values have their type. It goes on after a problem, so that all are
// told at once.
type body struct {
	problems []command.Problem
	more     bool // there are more than maxProblems
}

// path is where a value stands. A reader may use one for all members of an object in
// turn: it is read when a problem is noted.
type path struct {
	parent *path
	name   string
	index  int // if there is no name
}

func (p *path) member(name string) *path { return &path{parent: p, name: name} }
func (p *path) element(i int) *path      { return &path{parent: p, index: i} }

// String is like commands[2].event.
func (p *path) String() string {
	if p == nil {
		return ""
	}
	before := p.parent.String()
	switch {
	case p.name == "":
		return before + "[" + strconv.Itoa(p.index) + "]"
	case before == "":
		return p.name
	}
	return before + "." + p.name
}

func (b *body) problem(p *path, format string, args ...any) {
	b.add(command.Problem{Path: p.String(), Message: fmt.Sprintf(format, args...)})
}

func (b *body) add(problems ...command.Problem) {
	for _, p := range problems {
		if len(b.problems) >= maxProblems {
			b.more = true
			return
		}
		b.problems = append(b.problems, p)
	}
}

// err is all problems, nil if there are none.
func (b *body) err() error {
	switch {
	case len(b.problems) == 0:
		return nil
	case b.more:
		return invalid(append(b.problems, command.Problem{Message: "and more"}))
	}
	return invalid(b.problems)
}

// check tells whether data is one JSON value, not nested too deeply.
func (b *body) check(data []byte) bool {
	var raw json.RawMessage
	err := json.Unmarshal(data, &raw)
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		b.problem(nil, "is not JSON: %s, at byte %d", syntax.Error(), syntax.Offset)
	case err != nil:
		b.problem(nil, "is not JSON")
	case depth(data) > maxDepth:
		b.problem(nil, "is nested deeper than %d", maxDepth)
	default:
		return true
	}
	return false
}

// depth is how deep the arrays and objects of valid JSON are nested.
func depth(data []byte) (deepest int) {
	d := 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			i = stringEnd(data, i) - 1
		case '{', '[':
			d++
			deepest = max(deepest, d)
		case '}', ']':
			d--
		}
	}
	return deepest
}

// The functions below read valid JSON.

func space(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\n' || data[i] == '\t' || data[i] == '\r') {
		i++
	}
	return i
}

// stringEnd returns the place after the string that begins at i.
func stringEnd(data []byte, i int) int {
	for i++; data[i] != '"'; i++ {
		if data[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// valueEnd returns the place after the value that begins at i.
func valueEnd(data []byte, i int) int {
	d := 0
	for ; i < len(data); i++ {
		switch data[i] {
		case '"':
			if i = stringEnd(data, i); d == 0 {
				return i
			}
			i--
		case '{', '[':
			d++
		case '}', ']':
			if d--; d <= 0 {
				if d < 0 {
					return i // the end of what the value stands in
				}
				return i + 1
			}
		case ',', ' ', '\n', '\t', '\r':
			if d == 0 {
				return i
			}
		}
	}
	return i
}

// kind is what a value is, in words.
func kind(raw []byte) string {
	switch raw[0] {
	case '"':
		return "a text"
	case '{':
		return "an object"
	case '[':
		return "a list"
	case 't', 'f':
		return "true or false"
	case 'n':
		return "null"
	}
	return "a number"
}

func (b *body) is(raw []byte, p *path, want string) bool {
	if got := kind(raw); got != want {
		b.problem(p, "must be %s, not %s", want, got)
		return false
	}
	return true
}

// members yields the members of an object, each name once.
func (b *body) members(raw []byte, p *path) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		if !b.is(raw, p, "an object") {
			return
		}
		var names [16]string
		seen := names[:0]
		for i := space(raw, 1); raw[i] != '}'; {
			end := stringEnd(raw, i)
			name := unquote(raw[i:end])
			i = space(raw, space(raw, end)+1) // after the colon
			end = valueEnd(raw, i)
			if slices.Contains(seen, name) {
				b.problem(p.member(name), "stands there twice")
			} else {
				if len(seen) < maxMembers {
					seen = append(seen, name)
				}
				if !yield(name, raw[i:end]) {
					return
				}
			}
			if i = space(raw, end); raw[i] == ',' {
				i = space(raw, i+1)
			}
		}
	}
}

// maxMembers is more than any object of a request has.
const maxMembers = 64

// elements yields the elements of a list.
func (b *body) elements(raw []byte, p *path) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		if !b.is(raw, p, "a list") {
			return
		}
		n := 0
		for i := space(raw, 1); raw[i] != ']'; n++ {
			end := valueEnd(raw, i)
			if !yield(n, raw[i:end]) {
				return
			}
			if i = space(raw, end); raw[i] == ',' {
				i = space(raw, i+1)
			}
		}
	}
}

// unquote reads a string, in which what is no character becomes U+FFFD.
func unquote(raw []byte) string {
	inner := raw[1 : len(raw)-1]
	for _, c := range inner {
		if c == '\\' {
			var s string
			_ = json.Unmarshal(raw, &s) // valid
			return s
		}
	}
	return string(inner)
}

func (b *body) unknown(p *path) { b.problem(p, "is unknown here") }

func (b *body) text(raw []byte, p *path) string {
	if !b.is(raw, p, "a text") {
		return ""
	}
	return unquote(raw)
}

func (b *body) flag(raw []byte, p *path) bool {
	return b.is(raw, p, "true or false") && raw[0] == 't'
}

// whole reads a whole number between low and high.
func (b *body) whole(raw []byte, p *path, low, high int64) int64 {
	if !b.is(raw, p, "a number") {
		return 0
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || f != math.Trunc(f) || f < float64(low) || f > float64(high) {
		b.problem(p, "must be a whole number from %d to %d", low, high)
		return 0
	}
	return int64(f)
}

// texts reads a list of texts, at most limit of them.
func (b *body) texts(raw []byte, p *path, limit int) []string {
	list := []string{}
	for i, raw := range b.elements(raw, p) {
		if i == limit {
			b.problem(p, "has more than %d elements", limit)
			break
		}
		list = append(list, b.text(raw, p.element(i)))
	}
	return list
}

// moment reads a time (RFC 3339).
func (b *body) moment(raw []byte, p *path) time.Time {
	s := b.text(raw, p)
	if s == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		b.problem(p, `must be a time like "2026-01-31T12:00:00Z"`)
	}
	return t
}
