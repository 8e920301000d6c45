package config

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Validate tells everything that is wrong, as [Problems]. [Load] has done so already: it
// is for a configuration that was put together otherwise. It reads certificates and keys.
func (c *Config) Validate() error {
	problems, _ := check(c)
	return problems.err()
}

// check returns what cannot be, and what is hardly meant.
func check(c *Config) (problems, warnings Problems) {
	k := &checker{c: c}
	k.node()
	k.listen()
	k.admin()
	k.redis()
	k.socketIO()
	k.limits()
	k.jwt()
	k.namespaces()
	k.webhooks()
	k.api()
	k.rest()
	return k.problems, k.warnings
}

// checker collects problems.
type checker struct {
	c                  *Config
	problems, warnings Problems
}

func (k *checker) bad(path, format string, args ...any) {
	k.problems = append(k.problems, k.at(path, fmt.Sprintf(format, args...)))
}

func (k *checker) warn(path, format string, args ...any) {
	k.warnings = append(k.warnings, k.at(path, fmt.Sprintf(format, args...)))
}

func (k *checker) at(path, message string) Problem {
	o := k.c.origin(path)
	return Problem{Path: path, Source: o.Source, Line: o.Line, Message: message}
}

func between[T cmp.Ordered](k *checker, path string, v, least, most T) {
	if v < least || v > most {
		k.bad(path, "must be from %s to %s, and is %s", show(least), show(most), show(v))
	}
}

// orZero is between for what 0 switches off.
func orZero[T int | Size | time.Duration | float64](k *checker, path string, v, least, most T) {
	if v != 0 && (v < least || v > most) {
		k.bad(path, "must be 0 or from %s to %s, and is %s", show(least), show(most), show(v))
	}
}

func show(v any) string {
	if d, ok := v.(time.Duration); ok {
		return durationText(d)
	}
	return fmt.Sprint(v)
}

func (k *checker) oneOf(path, v string, of ...string) {
	if !slices.Contains(of, v) {
		k.bad(path, "must be %s, and is %s", or(of), quote(v))
	}
}

// someOf checks a list of words: none twice.
func (k *checker) someOf(path string, list []string, of ...string) {
	for i, v := range list {
		at := index(path, i)
		switch {
		case !slices.Contains(of, v):
			k.bad(at, "must be %s, and is %s", or(of), quote(v))
		case slices.Contains(list[:i], v):
			k.bad(at, "is here a second time")
		}
	}
}

// secret checks the length of a secret that is set.
func (k *checker) secret(path string, s Secret, least int) {
	if s.IsSet() && len(s.Reveal()) < least {
		k.bad(path, "must have %d bytes at least", least)
	}
}

// text checks a text of one line that is set.
func (k *checker) text(path, v string, most int) {
	switch {
	case len(v) > most:
		k.bad(path, "is longer than %d bytes", most)
	case strings.ContainsFunc(v, isControl):
		k.bad(path, "has control characters")
	}
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

// tokens checks names of headers.
func (k *checker) tokens(path string, list []string) {
	for i, v := range list {
		if !isToken(v) {
			k.bad(index(path, i), "is no name of a header: %s", quote(v))
		}
	}
}

// isToken tells whether v is a token of RFC 9110, as names of headers and cookies are.
func isToken(v string) bool {
	for i := range len(v) {
		if c := v[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return v != ""
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// or writes "a, b or c".
func or(list []string) string {
	if len(list) == 1 {
		return list[0]
	}
	last := len(list) - 1
	return strings.Join(list[:last], ", ") + " or " + list[last]
}

// maxUnix is the longest path of a unix socket on all systems.
const maxUnix = 103

// address checks where a listener listens.
func (k *checker) address(path, v string) {
	if name, ok := strings.CutPrefix(v, "unix:"); ok {
		if name == "" || len(name) > maxUnix {
			k.bad(path, "must have a path of 1 to %d bytes after unix:", maxUnix)
		}
		return
	}
	if message := badHostPort(v, 0); message != "" {
		k.bad(path, "must be host:port or unix:/path/to/socket: %s", message)
	}
}

// badHostPort tells what is wrong with host:port. least is the lowest port.
func badHostPort(v string, least uint64) string {
	host, port, err := net.SplitHostPort(v)
	if err != nil {
		return quote(v) + " is not"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n < least {
		return fmt.Sprintf("the port is %s and must be from %d to 65535", quote(port), least)
	}
	if strings.ContainsAny(host, "/@ ?#") || strings.ContainsFunc(host, isControl) {
		return "that is no host"
	}
	return ""
}

// url checks an absolute URL. Messages do not show it, since there may be a password in
// it by mistake. Nil: there is a problem.
func (k *checker) url(path, v string, schemes ...string) *url.URL {
	u, err := url.Parse(v)
	switch {
	case err != nil:
		k.bad(path, "is no URL")
	case !slices.Contains(schemes, u.Scheme) || u.Hostname() == "" || u.Opaque != "":
		k.bad(path, "must be a URL that begins with %s and has a host", or(schemes)+"://")
	case u.User != nil:
		k.bad(path, "must have no user and no password in it")
	case u.Fragment != "":
		k.bad(path, "must have no fragment (#)")
	default:
		return u
	}
	return nil
}

// isLoopback tells whether a host is surely this machine.
func isLoopback(host string) bool {
	if host = strings.ToLower(host); host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// isPrivate tells whether a host is surely on this machine, in a private network or
// link-local. Names are looked up by who connects.
func isPrivate(host string) bool {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return isLoopback(host)
	}
	addr = addr.Unmap()
	return addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast() || addr.IsUnspecified() || addr.IsMulticast()
}
