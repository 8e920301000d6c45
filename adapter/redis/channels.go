package redis

import (
	"strings"

	"github.com/fanwire/fanwire/adapter"
)

// tagLen is the length of a node's tag, and idLen that of a public socket id,
// which ends in it.
const (
	tagLen = 4
	idLen  = 20
)

// channels are the names that one namespace of one node uses (CLU-R-01 to
// CLU-R-05).
type channels struct {
	all     string // K#N#
	request string // K-request#N#
	answers string // K-response#N#
	ids     string // for ids without the pattern: this and a tag and #
	tag     string // of the node; empty if it has none of use
	base    []baseChannel
}

func newChannels(cfg Config, h adapter.Host, uid string) channels {
	around := "#" + h.Namespace() + "#"
	c := channels{
		all:     cfg.Key + around,
		request: cfg.Key + "-request" + around,
		answers: cfg.Key + "-response" + around,
	}
	if len(h.IDTag()) == tagLen && isIDText(h.IDTag()) {
		c.tag = h.IDTag()
	}
	c.base = []baseChannel{
		{c.all, false, routeAll},
		{c.request, false, routeRequest},
		{c.answers, false, routeAnswer},
		{c.response(uid), false, routeAnswer},
	}
	switch {
	case cfg.NoIDPattern:
		c.ids = "fanwire#" + c.all
		if c.tag != "" {
			c.base = append(c.base, baseChannel{c.ofTag(c.tag), false, routeAll})
		}
	case c.tag != "":
		c.base = append(c.base, baseChannel{escapeGlob(c.all) + "*" + c.tag + "#", true, routeIDs})
	}
	return c
}

// ofRoom is where broadcasts to one room go, K#N#R#. Without the pattern, those
// to what looks like a socket's id go to the channel of its tag instead.
// Publishers and subscribers decide alike, by the name alone, so it does no harm
// if it is the name of a room after all.
func (c *channels) ofRoom(room string) string {
	if c.ids != "" && isID(room) {
		return c.ofTag(room[idLen-tagLen:])
	}
	return c.all + room + "#"
}

func (c *channels) ofTag(tag string) string { return c.ids + tag + "#" }

// room is the room in the name of a broadcast channel (CLU-R-08); there is none in
// that of a tag.
func (c *channels) room(channel string) (room string, ok bool) {
	rest, ok := strings.CutPrefix(channel, c.all)
	if !ok || rest == "" {
		return "", false
	}
	return rest[:len(rest)-1], true
}

// covers tells whether broadcasts to room arrive without a subscription of its
// own: one more would make them arrive twice.
func (c *channels) covers(room string) bool {
	return c.tag != "" && strings.HasSuffix(room, c.tag) && (c.ids == "" || isID(room))
}

// response is where the answers for a node go (CLU-G-04).
func (c *channels) response(uid string) string {
	if uid == "" || uid == "emitter" {
		return c.answers
	}
	return c.answers + uid + "#"
}

// isID tells whether room has the form of a public socket id (HRD-12).
func isID(room string) bool { return len(room) == idLen && isIDText(room) }

func isIDText(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

// escapeGlob makes a pattern that matches s only, so that a namespace may have
// any name (CLU-R-10).
func escapeGlob(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`).Replace(s)
}
