package plan

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/fanwire/fanwire/loadtest/internal/ledger"
)

// Problem is something that is wrong with a plan.
type Problem struct {
	Field string // stages[2].fanout.rate
	Line  int    // of the scenario file, 0 without one
	Text  string
}

func (p Problem) Error() string {
	if p.Line > 0 {
		return fmt.Sprintf("line %d: %s: %s", p.Line, p.Field, p.Text)
	}
	return p.Field + ": " + p.Text
}

// check collects problems.
type check struct {
	problems []error
	lines    map[string]int
}

func (c *check) add(field, format string, args ...any) {
	line := 0
	for at := field; c.lines != nil && line == 0 && at != ""; { // that of the nearest field that is there
		line = c.lines[at]
		at = at[:max(0, strings.LastIndexAny(at, ".["))]
	}
	c.problems = append(c.problems, Problem{field, line, fmt.Sprintf(format, args...)})
}

// Validate reports everything that is wrong with the plan, as Problems joined by
// errors.Join.
func (p *Plan) Validate() error {
	c := new(check)
	p.validate(c)
	return errors.Join(c.problems...)
}

func (p *Plan) validate(c *check) {
	p.validateTarget(c)
	p.validateLoad(c)
	if len(p.Stages) == 0 {
		c.add("stages", "there is none")
	}
	names := []string{"ramp", "warmup", "cooldown"}
	for i := range p.Stages {
		s, at := &p.Stages[i], fmt.Sprintf("stages[%d]", i)
		switch {
		case s.Name == "":
			c.add(at+".name", "missing")
		case slices.Contains(names, s.Name):
			c.add(at+".name", "%q is used already", s.Name)
		}
		names = append(names, s.Name)
		p.validateStage(c, s, at)
	}
	if p.Peak() == 0 {
		c.add("clients", "at least 1 is needed")
	}
}

func (p *Plan) validateTarget(c *check) {
	if len(p.URLs) == 0 {
		c.add("urls", "at least one is needed")
	}
	for i, text := range p.URLs {
		u, err := url.Parse(text)
		switch {
		case err != nil || u.Host == "":
			c.add(fmt.Sprintf("urls[%d]", i), "%q is not an URL: http://127.0.0.1:3000", RedactURL(text))
		case !slices.Contains([]string{"http", "https", "ws", "wss"}, u.Scheme):
			c.add(fmt.Sprintf("urls[%d]", i), "scheme %q is none of http, https, ws, wss", u.Scheme)
		case strings.Trim(u.Path, "/") != "":
			c.add(fmt.Sprintf("urls[%d]", i), "has a path: give the server's with --path, the namespace with --nsp")
		}
	}
	if !strings.HasPrefix(p.Namespace, "/") {
		c.add("namespace", "%q does not begin with /", p.Namespace)
	}
	if !strings.HasPrefix(p.Path, "/") {
		c.add("path", "%q does not begin with /", p.Path)
	}
	if len(p.Transport) == 0 {
		c.add("transport", "at least one is needed")
	}
	if p.Parser != "json" && p.Parser != "msgpack" {
		c.add("parser", "%q is neither json nor msgpack", p.Parser)
	}
	if _, err := p.Addresses(); err != nil {
		c.add("localAddr", "%v", err)
	}
	switch p.Auth.(type) {
	case nil, map[string]any:
	default:
		c.add("auth", "is not a JSON object")
	}
}

func (p *Plan) validateLoad(c *check) {
	if p.UsesRooms() {
		if p.Rooms < 0 {
			c.add("rooms", "is negative")
		} else if p.Rooms == 0 && p.PerRoom > 0 {
			c.add("perRoom", "there are no rooms: rooms is 0, messages go to everybody")
		} else if clients := Count(p.Peak()); p.PerRoom > clients {
			c.add("perRoom", "%d clients cannot be in a room if there are %d", p.PerRoom, clients)
		} else if p.PerRoom == 0 && p.Rooms > clients {
			c.add("rooms", "%d rooms for %d clients: some would be empty", p.Rooms, clients)
		}
		if p.Publishers < 1 {
			c.add("publishers", "at least 1 is needed")
		}
	}
	switch p.Publish {
	case "socket":
	case "http", "redis":
		if p.PublishURL == "" {
			c.add("publishURL", "is needed to publish by %s", p.Publish)
		} else if u, err := url.Parse(p.PublishURL); err != nil || u.Host == "" {
			c.add("publishURL", "is not an URL")
		}
	default:
		c.add("publish", "%q is none of socket, http, redis", p.Publish)
	}
	if p.Payload.File == "" && p.Payload.Min < ledger.HeaderLen {
		c.add("payload", "%v is too short: messages begin with %d bytes that identify them", p.Payload, ledger.HeaderLen)
	}
	if p.Timeout <= 0 {
		c.add("timeout", "must be above 0")
	}
}

func (p *Plan) validateStage(c *check, s *Stage, at string) {
	if s.Duration <= 0 {
		c.add(at+".duration", "must be above 0")
	}
	validateTraffic(c, s.Echo, at+".echo")
	validateTraffic(c, s.Fanout, at+".fanout")
	if s.Fanout != nil && s.Fanout.InFlight > 0 && p.Publish != "socket" {
		c.add(at+".fanout.inFlight", "works with publish: socket only")
	}
	if ch := s.Churn; ch != nil && ch.Joins == 0 && ch.Reconnects == 0 {
		c.add(at+".churn", "has neither joins nor reconnects")
	} else if ch != nil && ch.Joins > 0 && p.Rooms == 0 {
		c.add(at+".churn.joins", "there are no rooms to join: rooms is 0, so this must be 0, too")
	}
	if st := s.Storm; st != nil {
		if st.Drop == 0 && st.Hook == "" {
			c.add(at+".storm", "has neither drop nor hook")
		}
		if st.After >= s.Duration && s.Duration > 0 {
			c.add(at+".storm.after", "%v is not within the stage's %v", st.After, s.Duration)
		}
	}
}

func validateTraffic(c *check, t *Traffic, at string) {
	if t == nil {
		return
	}
	switch {
	case t.InFlight < 0:
		c.add(at+".inFlight", "is negative")
	case t.Rate == 0 && t.InFlight == 0:
		c.add(at+".rate", "either a rate or inFlight is needed")
	case t.Rate > 0 && t.InFlight > 0:
		c.add(at+".inFlight", "excludes a rate")
	}
	if t.InFlight > 4096 {
		c.add(at+".inFlight", "%d is above 4,096", t.InFlight)
	}
	switch t.Arrival {
	case "", "uniform", "poisson":
	default:
		c.add(at+".arrival", "%q is neither uniform nor poisson", t.Arrival)
	}
}
