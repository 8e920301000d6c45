package node

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// Pattern is the parent of dynamic namespaces. A client that asks for a name
// which no namespace has gets one made by the first Pattern that accepts the
// name, in the order of registration. It begins with a copy of the handlers that
// the Pattern has at that time (SIO-N-03), and is freed when its last socket has
// left, unless [Config.KeepEmptyNamespaces] is set.
//
// Broadcasts of a Pattern concern all its namespaces that exist on this node.
type Pattern struct {
	registry
	caster

	srv      *Server
	segments []segment                                                         // of OfPattern
	accept   func(ctx context.Context, name string, auth json.RawMessage) bool // of OfFunc

	children map[*Namespace]struct{} // guarded by srv.mu
}

// segment is one part of a pattern between slashes.
type segment struct {
	text string // or the name of the wildcard
	wild bool
	rest bool // takes all that follows
}

// OfPattern registers a parent for the namespaces whose names match pattern:
// a path in which "{name}" stands for one segment that is not empty and a last
// "{name...}" for all that follows. [Namespace.PathValue] tells what they stand
// for. It panics if the pattern cannot be understood.
func (srv *Server) OfPattern(pattern string) *Pattern {
	return srv.addPattern(&Pattern{segments: parsePattern(pattern)})
}

// OfFunc registers a parent for the namespaces that accept agrees to. It is
// called for each CONNECT to a name that no namespace has, concurrently, and may
// block. The auth payload is JSON, nil if the client gave none, and for
// [Server.Hold].
func (srv *Server) OfFunc(accept func(ctx context.Context, name string, auth json.RawMessage) bool) *Pattern {
	return srv.addPattern(&Pattern{accept: accept})
}

func (srv *Server) addPattern(p *Pattern) *Pattern {
	p.srv = srv
	p.caster.all = Broadcast{pattern: p}
	p.children = map[*Namespace]struct{}{}
	srv.mu.Lock()
	defer srv.mu.Unlock()
	srv.patterns = append(srv.patterns, p)
	return p
}

func parsePattern(pattern string) []segment {
	bad := func(why string) { panic(fmt.Sprintf("node: pattern %q: %s", pattern, why)) }
	if !strings.HasPrefix(pattern, "/") {
		pattern = "/" + pattern
	}
	var segments []segment
	names := map[string]bool{}
	for part := range strings.SplitSeq(pattern[1:], "/") {
		if len(segments) > 0 && segments[len(segments)-1].rest {
			bad("something follows the rest")
		}
		inner, wild := strings.CutPrefix(part, "{")
		if !wild {
			if strings.ContainsAny(part, "{}") {
				bad("a wildcard must be a whole segment")
			}
			segments = append(segments, segment{text: part})
			continue
		}
		inner, ok := strings.CutSuffix(inner, "}")
		name, rest := strings.CutSuffix(inner, "...")
		if !ok || name == "" || strings.ContainsAny(name, "{}") || names[name] {
			bad("bad or repeated wildcard")
		}
		names[name] = true
		segments = append(segments, segment{text: name, wild: true, rest: rest})
	}
	return segments
}

// match returns what the wildcards stand for in name.
func (p *Pattern) match(name string) (values map[string]string, ok bool) {
	rest := name[1:]
	for i, s := range p.segments {
		part, after, more := strings.Cut(rest, "/")
		if s.rest {
			part, more = rest, false
		}
		last := i == len(p.segments)-1
		if more == last || s.wild && part == "" || !s.wild && part != s.text {
			return nil, false
		}
		if s.wild {
			if values == nil {
				values = map[string]string{}
			}
			values[s.text] = part
		}
		rest = after
	}
	return values, true
}

// accepts tells whether p takes a name that no namespace has.
func (p *Pattern) accepts(ctx context.Context, name string, auth json.RawMessage) (values map[string]string, ok bool) {
	if p.accept == nil {
		return p.match(name)
	}
	return nil, p.accept(ctx, name, auth)
}

// Namespaces returns the namespaces of the pattern that exist on this node.
func (p *Pattern) Namespaces() []*Namespace {
	p.srv.mu.Lock()
	defer p.srv.mu.Unlock()
	list := make([]*Namespace, 0, len(p.children))
	for ns := range p.children {
		list = append(list, ns)
	}
	return list
}
