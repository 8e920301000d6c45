package rules

import (
	"fmt"
	"math"
	"strings"

	"github.com/fanwire/fanwire/internal/gateway/config"
	"github.com/fanwire/fanwire/internal/gateway/template"
)

// action is what a route does.
type action uint8

const (
	actIgnore action = iota
	actRelay
	actWebhook
	actStream
	actJoin
	actLeave
)

// route is a compiled route.
type route struct {
	act        action
	concurrent bool
	maxSize    int     // bytes, 0: no limit of its own
	rate       float64 // events per second of one client, 0: no limit
	burst      float64
	bucket     int // its place among those of a member, if it has a rate

	hook  Hook               // of actWebhook
	relay *relay             // of actRelay
	key   *template.Template // of actStream
	max   int64              // of actStream
	rooms []roomPattern      // of actJoin and actLeave
}

// relay is where a route emits events to.
type relay struct {
	to, except []*template.Template
	event      *template.Template // nil: under its own name
	self       bool
	volatile   bool
	// Membership: the sender must be in each room of to whose name the event chooses,
	// and in one of them all if there is none such.
	members bool
	chosen  []bool // whether the arguments are in the name, for each of to
}

// roomPattern are rooms that clients may join or leave.
type roomPattern struct {
	text *template.Template
	glob template.Glob // ready, if fixed
	// fixed says that the pattern has no fields; named, that it is one room.
	fixed, named bool
}

func (sp *space) compileRoute(c *config.Route, s *Settings, at string, bad *problems) {
	rt := &route{concurrent: c.Concurrent, maxSize: int(c.MaxSize), rate: c.Rate, burst: float64(c.Burst)}
	if rt.rate < 0 || rt.burst < 0 || rt.maxSize < 0 {
		bad.add(at, "rate, burst and max_size are not negative")
	}
	if rt.rate > 0 {
		if rt.burst == 0 {
			rt.burst = math.Max(1, math.Ceil(rt.rate))
		}
		rt.bucket = sp.rated
		sp.rated++
	}
	set := 0
	act := func(is bool, a action) bool {
		if is {
			rt.act = a
			set++
		}
		return is
	}
	act(c.Ignore, actIgnore)
	if act(c.Relay != nil, actRelay) {
		rt.relay = sp.compileRelay(c.Relay, at+".relay", bad)
	}
	if act(c.Webhook != "", actWebhook) {
		if rt.hook = s.Hooks[c.Webhook]; rt.hook == nil {
			bad.add(at+".webhook", "there is no webhook %q", c.Webhook)
		}
	}
	if act(c.Stream != nil, actStream) {
		rt.key, rt.max = sp.compileKey(c.Stream.Key, at+".stream.key", bad), int64(max(c.Stream.MaxLen, 0))
	}
	if act(c.Join != nil, actJoin) {
		rt.rooms = sp.compileRooms(c.Join.Rooms, at+".join.rooms", bad)
	}
	if act(c.Leave != nil, actLeave) {
		rt.rooms = sp.compileRooms(c.Leave.Rooms, at+".leave.rooms", bad)
	}
	if set != 1 {
		bad.add(at, "exactly one of relay, webhook, stream, join, leave and ignore must be set, not %d", set)
	}
	sp.addRoute(rt, c.Events, at+".events", bad)
}

// addRoute makes a route findable by its events. For a name without a star what
// counts is known now: the first route that fits.
func (sp *space) addRoute(rt *route, events []string, at string, bad *problems) {
	if len(events) == 0 {
		bad.add(at, "is empty")
	}
	for i, event := range events {
		g, err := template.ParseGlob(event)
		switch {
		case err != nil:
			bad.add(fmt.Sprintf("%s[%d]", at, i), "%v", err)
		case strings.Contains(event, "*"):
			sp.wild = append(sp.wild, wildRoute{g, rt})
		case sp.route(event) == nil:
			sp.named[event] = rt
		}
	}
}

func (sp *space) compileRelay(c *config.Relay, at string, bad *problems) *relay {
	rl := &relay{
		to:       sp.templates(c.To, at+".to", bad),
		except:   sp.templates(c.Except, at+".except", bad),
		self:     c.Self,
		volatile: c.Volatile,
		members:  c.Members,
	}
	if c.Event != "" {
		rl.event = sp.template(c.Event, at+".event", bad)
	}
	for _, t := range rl.to {
		rl.chosen = append(rl.chosen, uses(t, template.Args))
	}
	return rl
}

// compileKey reads the key of a stream. Clients do not decide how many keys there
// are in Redis, nor can one be taken for ours.
func (sp *space) compileKey(text, at string, bad *problems) *template.Template {
	t := sp.template(text, at, bad)
	switch {
	case t == nil:
	case uses(t, template.Args, template.Event):
		bad.add(at, "%q: clients must not choose the key: no {args} and no {event}", text)
	case strings.HasPrefix(text, "{") && !strings.HasPrefix(text, "{{"):
		bad.add(at, "%q must begin with a text that is its own, such as \"events:\"", text)
	case strings.HasPrefix(text, "fanwire"):
		bad.add(at, "%q: keys that begin with fanwire are the gateway's", text)
	}
	return t
}

func (sp *space) compileRooms(texts []string, at string, bad *problems) []roomPattern {
	if len(texts) == 0 {
		bad.add(at, "is empty: no room would fit")
	}
	var list []roomPattern
	for _, t := range sp.templates(texts, at, bad) {
		p := roomPattern{text: t, fixed: true}
		for range t.Fields {
			p.fixed = false
		}
		if p.fixed {
			p.glob, _ = t.ExpandGlob(nil) // has no field to miss
			p.named = !strings.Contains(t.String(), "*")
		}
		list = append(list, p)
	}
	return list
}
