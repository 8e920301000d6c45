package api

import (
	"encoding/base64"
	"maps"
	"net/url"
	"slices"
	"strconv"

	"github.com/fanwire/fanwire/internal/gateway/command"
)

// page collects entries that come in any order, and keeps those that follow a cursor
// in the order of their names: as many as a page has, and one more, which tells that
// there is another page. It holds some thousand entries at most.
type page[V any] struct {
	after *string // names up to it are left out; nil: none is
	limit int
	top   *string // names above it are not wanted any more
	cut   *string // what follows it is not known; nil: all is
	m     map[string]V
}

func newPage[V any](after *string, limit int) *page[V] {
	return &page[V]{after: after, limit: limit + 1, m: map[string]V{}}
}

// wants tells whether an entry of this name belongs to the page, as far as is known.
func (p *page[V]) wants(name string) bool {
	return (p.after == nil || name > *p.after) && (p.top == nil || name <= *p.top)
}

// put adds an entry, in the place of one that has its name.
func (p *page[V]) put(name string, v V) {
	if !p.wants(name) {
		return
	}
	p.m[name] = v
	if len(p.m) > 2*p.limit+100 {
		p.shrink()
	}
}

// shrink drops what is beyond the page and returns the names that are left.
func (p *page[V]) shrink() []string {
	names := slices.Sorted(maps.Keys(p.m))
	if len(names) <= p.limit {
		return names
	}
	for _, name := range names[p.limit:] {
		delete(p.m, name)
	}
	names = names[:p.limit]
	p.top = &names[p.limit-1]
	return names
}

// cutAfter ends the page after a name: somebody has not told what follows.
func (p *page[V]) cutAfter(name string) {
	if p.cut == nil || name < *p.cut {
		p.cut = &name
	}
}

// names returns those of the page, and the cursor of the next one, "" if there is none.
func (p *page[V]) names() (names []string, next string) {
	names = p.shrink()
	more := len(names) == p.limit
	if more {
		names = names[:p.limit-1]
	}
	if p.cut != nil {
		more = true
		n, found := slices.BinarySearch(names, *p.cut)
		if found {
			n++
		}
		names = names[:n]
	}
	if !more {
		return names, ""
	}
	return names, cursorOf(names[len(names)-1])
}

// cursorOf makes a cursor of the last name of a page.
func cursorOf(name string) string { return base64.RawURLEncoding.EncodeToString([]byte("." + name)) }

const (
	defaultLimit = 100
	maxLimit     = 1000
)

// window is the part of a list that a request asks for.
type window struct {
	after *string
	limit int
}

// window reads the parameters of a list; others are refused.
func (c *call) window(others ...string) (w window, q url.Values, err error) {
	w.limit = defaultLimit
	q, problems := c.query(append([]string{"cursor", "limit"}, others...)...)
	if s := q.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxLimit {
			problems = append(problems, command.Problem{Path: "limit", Message: "must be a whole number from 1 to 1000"})
		}
		w.limit = n
	}
	if s := q.Get("cursor"); s != "" {
		name, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil || len(name) == 0 || name[0] != '.' {
			problems = append(problems, command.Problem{Path: "cursor", Message: "is not one of a page"})
		} else {
			after := string(name[1:])
			w.after = &after
		}
	}
	if problems != nil {
		return w, q, invalid(problems)
	}
	return w, q, nil
}

// query reads the query: parameters with these names, each once, and no others.
func (c *call) query(names ...string) (q url.Values, problems []command.Problem) {
	q, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		problems = append(problems, command.Problem{Message: "the query cannot be read"})
	}
	for _, name := range slices.Sorted(maps.Keys(q)) {
		switch {
		case !slices.Contains(names, name):
			problems = append(problems, command.Problem{Path: cut(name), Message: "is unknown here"})
		case len(q[name]) > 1:
			problems = append(problems, command.Problem{Path: name, Message: "stands there twice"})
		}
	}
	return q, problems
}
