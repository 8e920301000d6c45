package template

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		pattern, s string
		want       bool
	}{
		{"say", "say", true},
		{"say", "says", false},
		{"*", "", true},
		{"*", "anything at all", true},
		{"chat:*", "chat:", true},
		{"chat:*", "chat", false},
		{"*:end", "the:end", true},
		{"a*a", "a", false},
		{"a*a", "aa", true},
		{"a*b*c", "abbc", true},
		{"a*b*c", "acb", false},
		{"*aab*", "aaab", true},
		{"ab*ba", "aba", false},
		{"**", "x", true},
		{"", "", true},
		{"", "x", false},
	} {
		if Match(tt.pattern, tt.s) != tt.want {
			t.Errorf("Match(%q, %q) is not %v", tt.pattern, tt.s, tt.want)
		}
		if tt.pattern == "" {
			continue
		}
		g, err := ParseGlob(tt.pattern)
		if err != nil || g.Match(tt.s) != tt.want || g.String() != tt.pattern {
			t.Errorf("Glob %q on %q: not %v, %v", tt.pattern, tt.s, tt.want, err)
		}
	}
	if !(Glob{}).Match("") || (Glob{}).Match("x") {
		t.Error("the zero Glob does not match the empty text alone")
	}
	for _, bad := range []string{"", strings.Repeat("*", MaxText+1)} {
		if _, err := ParseGlob(bad); err == nil {
			t.Errorf("%.9q is accepted", bad)
		}
	}
}

// A pattern that makes backtracking matchers take for ever.
func TestMatchIsLinear(t *testing.T) {
	pattern, s := strings.Repeat("a*", MaxText/2-1)+"b", strings.Repeat("a", 1<<20)
	g, err := ParseGlob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if g.Match(s) || Match(pattern, s) {
		t.Error("matches")
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("took %v", took)
	}
}

func TestMatchAllocates(t *testing.T) {
	g, err := ParseGlob("chat:*:{x}*")
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { _ = g.Match("chat:room:{x}y") && Match("chat:*:{x}*", "chat:room:{x}y") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("a*b", "axb")
	f.Add("*aab*", "aaab")
	f.Add("ab*ba", "aba")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		g, err := ParseGlob(pattern)
		if err != nil {
			return
		}
		quoted := strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, `[\s\S]*`)
		re, err := regexp.Compile(`\A` + quoted + `\z`)
		if err != nil || strings.ContainsRune(s, '\uFFFD') || strings.ToValidUTF8(s, "") != s {
			return
		}
		if want := re.MatchString(s); g.Match(s) != want || Match(pattern, s) != want {
			t.Fatalf("%q on %q is not %v", pattern, s, want)
		}
	})
}

func TestPathNames(t *testing.T) {
	for pattern, want := range map[string]string{
		"/":                   "",
		"/chat":               "",
		"/a/b/":               "",
		"/tenant/{id}":        "id",
		"/t/{id}/x/{other_1}": "id other_1",
		"/files/{rest...}":    "rest",
		"/{a}/{b...}":         "a b",
	} {
		if names, err := PathNames(pattern); err != nil || strings.Join(names, " ") != want {
			t.Errorf("%s: %v, %v", pattern, names, err)
		}
	}
	for pattern, want := range map[string]string{
		"":                             "slash",
		"chat":                         "slash",
		"/" + strings.Repeat("x", 256): "longer than 256",
		"/a,b":                         "comma",
		"/a\x00":                       "NUL",
		"/a\xff":                       "UTF-8",
		"/a?b":                         "question mark",
		"/x{id}":                       "whole segment",
		"/{id}x":                       "whole segment",
		"/{id":                         "whole segment",
		"/id}":                         "whole segment",
		"/{a{b}":                       "whole segment",
		"/{}":                          "whose name",
		"/{...}":                       "whose name",
		"/{a b}":                       "whose name",
		"/{id}/{id}":                   "twice",
		"/{rest...}/x":                 "goes on",
	} {
		if names, err := PathNames(pattern); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, error %v, want %q", pattern, names, err, want)
		}
	}
}
