package template

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxPath bounds the name or pattern of a namespace in bytes, as node bounds the names
// that clients send.
const MaxPath = 256

// PathNames checks the name or the pattern of a namespace and returns the names of its
// wildcards, none for a plain name. "{name}" stands for one segment that is not empty,
// a last "{name...}" for all that follows, as in [node.Server.OfPattern].
//
// [node.Server.OfPattern]: https://pkg.go.dev/github.com/fanwire/fanwire/node#Server.OfPattern
func PathNames(pattern string) ([]string, error) {
	switch {
	case !strings.HasPrefix(pattern, "/"):
		return nil, errors.New("does not begin with a slash")
	case len(pattern) > MaxPath:
		return nil, fmt.Errorf("is longer than %d bytes", MaxPath)
	case strings.ContainsAny(pattern, ",?\x00"), !utf8.ValidString(pattern):
		return nil, errors.New("contains what no client can send: a comma, a question mark, NUL or broken UTF-8")
	}
	var names []string
	rest := false
	for segment := range strings.SplitSeq(pattern[1:], "/") {
		if rest {
			return nil, errors.New("goes on after the rest")
		}
		inner, wild := strings.CutPrefix(segment, "{")
		if !wild {
			if strings.ContainsAny(segment, "{}") {
				return nil, errors.New("has a wildcard that is not a whole segment")
			}
			continue
		}
		inner, closed := strings.CutSuffix(inner, "}")
		var name string
		name, rest = strings.CutSuffix(inner, "...")
		switch {
		case !closed, strings.ContainsAny(inner, "{}"):
			return nil, errors.New("has a wildcard that is not a whole segment")
		case !plainName(name):
			return nil, errors.New("has a wildcard whose name is not of letters, digits, _ and -")
		case slices.Contains(names, name):
			return nil, fmt.Errorf("has the wildcard %q twice", name)
		}
		names = append(names, name)
	}
	return names, nil
}
