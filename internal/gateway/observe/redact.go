package observe

import (
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Lengths in bytes after which texts are cut.
const (
	maxText  = 200      // of users, and most of ours (HRD-85)
	maxError = 1000     // of errors; what they quote was cut where they were made
	maxStack = 16 << 10 // of panics
	maxDepth = 8        // of groups within groups

	maxSession = 6 // of ids of sessions
)

const hiddenText = "***"

// secretWords make a name that of a secret, alone or as one of its words: api_key,
// Set-Cookie, userToken.
var secretWords = map[string]bool{
	"token": true, "tokens": true, "authorization": true, "cookie": true, "cookies": true,
	"password": true, "passwd": true, "secret": true, "secrets": true, "key": true, "keys": true,
	"auth": true, "query": true, "credential": true, "credentials": true, "jwt": true, "signature": true,
	"apikey": true,
}

// isSecret tells whether what has this name must not be shown.
func isSecret(name string) bool {
	for word := range words(name) {
		if secretWords[strings.ToLower(word)] {
			return true
		}
	}
	return false
}

// words yields the words of a name, which separators or capitals part.
func words(name string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		start, lower := 0, false
		for i, r := range name {
			switch {
			case !unicode.IsLetter(r) && !unicode.IsDigit(r):
				if i > start && !yield(name[start:i]) {
					return
				}
				start, lower = i+utf8.RuneLen(r), false
				if r == utf8.RuneError {
					start = i + 1
				}
			case unicode.IsUpper(r) && lower:
				if !yield(name[start:i]) {
					return
				}
				start, lower = i, false
			default:
				lower = unicode.IsLower(r)
			}
		}
		if start < len(name) {
			yield(name[start:])
		}
	}
}

// redact returns a as it may be shown.
func redact(a slog.Attr, depth int) slog.Attr {
	a.Key = cut(a.Key, maxText)
	if isSecret(a.Key) {
		return slog.String(a.Key, hiddenText)
	}
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindString:
		return slog.String(a.Key, shown(a.Key, v.String()))
	case slog.KindGroup:
		return redactGroup(a.Key, v.Group(), depth)
	case slog.KindDuration: // with its unit, also in JSON
		return slog.String(a.Key, v.Duration().String())
	case slog.KindAny:
		return redactAny(a.Key, v.Any(), depth)
	}
	a.Value = v
	return a
}

func redactGroup(key string, attrs []slog.Attr, depth int) slog.Attr {
	if depth >= maxDepth {
		return slog.String(key, "...")
	}
	clean := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		clean[i] = redact(a, depth+1)
	}
	return slog.Attr{Key: key, Value: slog.GroupValue(clean...)}
}

// redactAny shows values of other types as text. Of structures that do not say how
// they are to be shown, which may hold a secret anywhere, there is the type only.
func redactAny(key string, v any, depth int) slog.Attr {
	switch v := v.(type) {
	case nil:
		return slog.Any(key, nil)
	case error:
		return slog.String(key, cut(redactURLs(v.Error()), maxError))
	case http.Header:
		return slog.Any(key, headerNames(v))
	case url.URL:
		return slog.String(key, RedactURL(v.String()))
	case *url.URL:
		return slog.String(key, RedactURL(v.String()))
	case []byte:
		return slog.String(key, shown(key, string(v[:min(len(v), maxText+1)])))
	case []slog.Attr:
		return redactGroup(key, v, depth)
	case []string:
		return slog.Any(key, shownTexts(key, v))
	case fmt.Stringer:
		return slog.String(key, shown(key, v.String()))
	}
	switch reflect.TypeOf(v).Kind() {
	case reflect.Struct, reflect.Map, reflect.Pointer, reflect.Slice, reflect.Array, reflect.Func, reflect.Chan, reflect.UnsafePointer:
		return slog.String(key, fmt.Sprintf("%T", v))
	}
	return slog.String(key, shown(key, fmt.Sprint(v)))
}

// maxItems is how many texts of a list are shown.
const maxItems = 20

func shownTexts(key string, list []string) []string {
	clean := make([]string, 0, min(len(list), maxItems+1))
	for i, s := range list {
		if i == maxItems {
			return append(clean, "...")
		}
		clean = append(clean, shown(key, s))
	}
	return clean
}

// shown is a text as it may be shown.
func shown(key, text string) string {
	switch key {
	case "stack":
		return cut(text, maxStack)
	case "sid", "pid", "session": // who knows all of it can take the session over (HRD-12)
		return text[:min(len(text), maxSession)]
	}
	return RedactURL(text)
}

// headerNames are the names of header fields.
func headerNames(h http.Header) []string { return shownTexts("", slices.Sorted(maps.Keys(h))) }

// RedactURL returns a URL as it may be logged: without user, password, query and
// fragment, cut at 200 bytes. It does that with all URLs in a text, and with a text
// that is a path with a query.
func RedactURL(text string) string {
	if i := strings.IndexAny(text, "?#"); i >= 0 && strings.HasPrefix(text, "/") {
		text = text[:i+1] + hiddenText
	}
	return cut(redactURLs(text), maxText)
}

// redactURLs does what RedactURL does to everything that looks like a URL with a
// scheme.
func redactURLs(text string) string {
	const sign = "://"
	if !strings.Contains(text, sign) {
		return text
	}
	var b strings.Builder
	for {
		i := strings.Index(text, sign)
		if i < 0 {
			b.WriteString(text)
			return b.String()
		}
		b.WriteString(text[:i+len(sign)])
		text = text[i+len(sign):]
		end := strings.IndexFunc(text, endsURL)
		if end < 0 {
			end = len(text)
		}
		b.WriteString(redactRest(text[:end]))
		text = text[end:]
	}
}

// endsURL tells whether a URL in a text ends before r.
func endsURL(r rune) bool {
	return unicode.IsSpace(r) || unicode.IsControl(r) || r == '"' || r == '\'' || r == '<' || r == '>' || r == '\\' || r == '`'
}

// redactRest redacts what follows "://" in a URL. A user may hold any character, so
// everything up to the last "@" counts as one.
func redactRest(rest string) string {
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		rest = hiddenText + rest[i:]
	}
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		rest = rest[:i+1] + hiddenText
	}
	return rest
}

// cut returns at most n bytes of a text, without half a character at the end, and
// "..." if there was more.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "..."
}
