package identity

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fanwire/fanwire/internal/gateway/config"
	"github.com/fanwire/fanwire/internal/gateway/template"
)

// Bounds on what a token says. The names are parts of Redis keys, logs and rooms.
const (
	maxSubject = 256
	maxTokenID = 256
)

// claims are the members of a token, each as it came. The parser does not look into
// them, so the methods of the empty RegisteredClaims are never called.
type claims struct {
	jwt.RegisteredClaims
	raw []byte
	all map[string]json.RawMessage
}

// UnmarshalJSON takes the claims of a token.
func (c *claims) UnmarshalJSON(data []byte) (err error) {
	c.raw = slices.Clone(data)
	c.all, err = members(c.raw)
	return err
}

// members reads a JSON object. A name that comes twice is refused: who reads the
// first and who reads the last would see different tokens. So is what is not UTF-8,
// for which different texts would become the same.
func members(data []byte) (map[string]json.RawMessage, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("not UTF-8")
	}
	var all map[string]json.RawMessage
	if json.Unmarshal(data, &all) != nil || all == nil {
		return nil, errors.New("not a JSON object")
	}
	if countMembers(data) != len(all) {
		return nil, errors.New("an object with a member twice")
	}
	return all, nil
}

// countMembers counts the members of what is known to be a JSON object: its colons.
func countMembers(data []byte) (n int) {
	depth, text := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case text && c == '\\':
			i++
		case c == '"':
			text = !text
		case text:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		case c == ':' && depth == 1:
			n++
		}
	}
	return n
}

// grant is what the claims give, whether or not they hold now.
func (c *claims) grant(cfg *config.JWT) (Grant, error) {
	var g Grant
	r := claimReader{claims: c}
	g.User = r.name("sub", maxSubject)
	g.TokenID = r.name("jti", maxTokenID)
	g.Issued = r.time("iat")
	g.Expires = r.time("exp")
	g.MayJoin = r.texts(cfg.MayJoinClaim)
	g.MaySend = r.texts(cfg.MaySendClaim)
	g.Rooms = r.texts(cfg.RoomsClaim)
	g.Namespaces = r.texts(cfg.NamespaceClaim)
	for i, name := range g.Namespaces {
		if !strings.HasPrefix(name, "/") && !strings.HasPrefix(name, "*") {
			g.Namespaces[i] = "/" + name
		}
	}
	g.Claims = c.raw
	return g, r.err
}

// check tells whether a token with these claims is for us, and holds at a time.
func (c *claims) check(cfg *config.JWT, now time.Time) error {
	r := claimReader{claims: c}
	issuer, audience := r.name("iss", maxTokenSize), r.texts("aud")
	notBefore, issued, expires := r.time("nbf"), r.time("iat"), r.time("exp")
	latest := now.Add(cfg.Leeway)
	switch {
	case r.err != nil:
		return r.err
	case cfg.Issuer != "" && issuer != cfg.Issuer:
		return invalid("iss is another")
	case cfg.Audience != "" && !slices.Contains(audience, cfg.Audience):
		return invalid("aud is another")
	case expires.IsZero():
		return invalid("exp is missing")
	case !now.Before(expires):
		return &Error{Expired, "exp is over"}
	case notBefore.After(latest):
		return &Error{NotYetValid, "nbf is yet to come"}
	case issued.After(latest):
		return &Error{NotYetValid, "iat is yet to come"}
	}
	return nil
}

// claimReader reads claims until one is not as it should be. A claim that is null
// is not: who writes one for "no rooms" and who reads it as "no restriction" would
// not agree.
type claimReader struct {
	claims *claims
	err    error
}

func (r *claimReader) wrong(name, want string) {
	if r.err == nil {
		r.err = invalid("the claim " + strconv.Quote(name) + " is not " + want)
	}
}

// name reads a text of limited length that can stand in keys and logs.
func (r *claimReader) name(name string, limit int) (text string) {
	raw, ok := r.claims.all[name]
	if !ok {
		return ""
	}
	if raw[0] != '"' || json.Unmarshal(raw, &text) != nil {
		r.wrong(name, "a text")
	}
	if len(text) > limit || strings.ContainsAny(text, "\x00\uFFFD") {
		r.wrong(name, "a text of at most "+strconv.Itoa(limit)+" proper characters")
	}
	return text
}

// lastSecond is the end of the year 9999, after which times have no JSON.
const lastSecond = 253402300799

// time reads seconds since 1970, which may have a fraction.
func (r *claimReader) time(name string) time.Time {
	raw, ok := r.claims.all[name]
	if !ok {
		return time.Time{}
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || f < 0 || f > lastSecond {
		r.wrong(name, "a time in seconds")
		return time.Time{}
	}
	seconds, fraction := math.Modf(f)
	return time.Unix(int64(seconds), int64(fraction*1e9)).UTC()
}

// texts reads a list of texts, or one text. It is nil only if there is no such
// claim.
func (r *claimReader) texts(name string) []string {
	raw, ok := r.claims.all[name]
	if !ok || name == "" {
		return nil
	}
	var parts []json.RawMessage
	switch raw[0] {
	case '"':
		parts = []json.RawMessage{raw}
	case '[':
		_ = json.Unmarshal(raw, &parts) // is a list
	default:
		r.wrong(name, "a list of texts")
	}
	list := make([]string, len(parts))
	for i, p := range parts {
		if p[0] != '"' || json.Unmarshal(p, &list[i]) != nil {
			r.wrong(name, "a list of texts")
		}
	}
	return list
}

// In tells whether the token is good for a namespace.
func (g Grant) In(namespace string) bool {
	return g.Namespaces == nil || slices.ContainsFunc(g.Namespaces, func(p string) bool { return template.Match(p, namespace) })
}
