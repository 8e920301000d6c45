package identity

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The only pattern language of tokens: "*" stands for any characters.
func TestPatternFits(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"/chat", "/chat", true},
		{"/chat", "/chats", false},
		{"/chat", "/cha", false},
		{"", "", true},
		{"", "/", false},
		{"*", "", true},
		{"*", "/any/thing", true},
		{"/tenant/*", "/tenant/7", true},
		{"/tenant/*", "/tenant", false},
		{"/*/admin", "/a/b/admin", true},
		{"/*/admin", "/a/b/admins", false},
		{"*a*b*c*", "xaybzc", true},
		{"*a*b*c*", "xaybz", false},
		{"a**b", "ab", true},
		{"a**", "a", true},
		{"*ab", "aab", true},
		{"*ab", "aba", false},
	} {
		if got := fits(c.pattern, c.s); got != c.want {
			t.Errorf("fits(%q, %q) = %v", c.pattern, c.s, got)
		}
	}
}
