package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem says what is wrong with a setting, and where it comes from. It never shows
// a secret.
type Problem struct {
	// Path of the setting, as in "namespaces[0].routes[2].relay". Empty where a whole
	// source cannot be read.
	Path string
	// Source is the file, the variable or the flag, empty for a default.
	Source string
	// Line in the source, from 1. 0 where there is none.
	Line    int
	Message string
}

// String returns "gateway.yaml:3: redis.mode: must be ...".
func (p Problem) String() string {
	var b strings.Builder
	if p.Source != "" {
		b.WriteString(p.Source)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d", p.Line)
		}
		b.WriteString(": ")
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// Problems is the error of [Load] and [Config.Validate]: everything that is wrong, in
// the order of the sources and of their lines.
type Problems []Problem

// maxShown bounds the problems that Error lists.
const maxShown = 50

// Error lists the problems, one a line.
func (ps Problems) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s in the configuration:", len(ps), plural(len(ps), "problem"))
	for i, p := range ps {
		if i == maxShown {
			fmt.Fprintf(&b, "\n  and %d more", len(ps)-i)
			break
		}
		b.WriteString("\n  " + p.String())
	}
	return b.String()
}

// err returns ps, sorted, as an error, or nil if there is no problem.
func (ps Problems) err() error {
	if len(ps) == 0 {
		return nil
	}
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(rank(a.Source), rank(b.Source)), strings.Compare(a.Source, b.Source), cmp.Compare(a.Line, b.Line))
	})
	return ps
}

// rank is the order of the sources: files, the environment, flags, defaults.
func rank(source string) int {
	switch {
	case source == "":
		return 3
	case strings.HasPrefix(source, "--"):
		return 2
	case strings.HasPrefix(source, prefix):
		return 1
	}
	return 0
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

// quote shows a piece of input, cut and on one line.
func quote(s string) string {
	if len(s) > 60 {
		s = strings.ToValidUTF8(s[:60], "") + "..."
	}
	return fmt.Sprintf("%q", s)
}
