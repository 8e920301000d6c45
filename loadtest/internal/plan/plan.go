// Package plan is what a load test is to do: made from flags or from a scenario file,
// checked as a whole, and handed to each process that takes part.
package plan

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"unicode/utf8"
)

// Plan is a whole test. The names in JSON are those of scenario files.
type Plan struct {
	Name string `json:"name,omitempty"`
	Seed uint64 `json:"seed"`

	// URLs of the targets; clients are dealt out in turn.
	URLs      []string          `json:"urls"`
	Path      string            `json:"path"`
	Namespace string            `json:"namespace"`
	Auth      any               `json:"auth,omitempty"`    // secret
	Headers   map[string]string `json:"headers,omitempty"` // secret
	Transport Mix               `json:"transport"`
	Parser    string            `json:"parser"` // json, msgpack
	Cookies   bool              `json:"cookies,omitempty"`
	Insecure  bool              `json:"insecure,omitempty"`
	// LocalAddrs are the addresses that clients connect from: single ones or ranges,
	// 127.0.0.2-127.0.0.9.
	LocalAddrs []string `json:"localAddr,omitempty"`

	Clients     Count    `json:"clients"`
	Ramp        Duration `json:"ramp"`
	ConnectRate Rate     `json:"connectRate"` // 0: as fast as they are accepted

	Rooms      Count  `json:"rooms"`      // 0: messages go to everybody
	PerRoom    Count  `json:"perRoom"`    // 0: each client is in one room
	Publishers Count  `json:"publishers"` // of each room
	Publish    string `json:"publish"`    // socket, http, redis
	PublishURL string `json:"publishURL,omitempty"`
	PublishKey string `json:"publishKey,omitempty"` // secret

	Payload     Payload `json:"payload"`
	PayloadText string  `json:"payloadText,omitempty"` // of @file
	Binary      Share   `json:"binary"`

	Warmup   Duration `json:"warmup"`
	Cooldown Duration `json:"cooldown"`
	Timeout  Duration `json:"timeout"`
	Stages   []Stage  `json:"stages"`

	// Part and Parts say which share of the clients and rooms is this process's.
	Part  int `json:"part,omitempty"`
	Parts int `json:"parts,omitempty"`
}

// Stage is a part of the test with figures of its own. What it has runs at once.
type Stage struct {
	Name     string   `json:"name"`
	Duration Duration `json:"duration"`
	Clients  *Count   `json:"clients,omitempty"` // to be reached at the end of the stage
	Echo     *Traffic `json:"echo,omitempty"`
	Fanout   *Traffic `json:"fanout,omitempty"`
	Churn    *Churn   `json:"churn,omitempty"`
	Storm    *Storm   `json:"storm,omitempty"`
}

// Traffic is messages: at a rate, whatever becomes of them, or as many in flight as
// given for each client or publisher.
type Traffic struct {
	Rate     Rate   `json:"rate,omitempty"` // of the whole test
	Arrival  string `json:"arrival,omitempty"`
	InFlight int    `json:"inFlight,omitempty"`
}

// Churn is clients that come and go.
type Churn struct {
	Joins      Rate     `json:"joins,omitempty"`      // of rooms: left and joined again
	Reconnects Rate     `json:"reconnects,omitempty"` // every second one by breaking the connection
	Away       Duration `json:"away,omitempty"`       // how long those who disconnect stay away
}

// Storm is a loss of many connections at once.
type Storm struct {
	After Duration `json:"after,omitempty"` // since the begin of the stage
	Drop  Share    `json:"drop,omitempty"`
	Hook  string   `json:"hook,omitempty"` // a shell command that breaks something
}

// Kind names what the stage has: "fanout+churn".
func (s *Stage) Kind() string {
	var kinds []string
	for _, k := range []struct {
		name string
		has  bool
	}{{"echo", s.Echo != nil}, {"fanout", s.Fanout != nil}, {"churn", s.Churn != nil}, {"storm", s.Storm != nil}} {
		if k.has {
			kinds = append(kinds, k.name)
		}
	}
	if len(kinds) == 0 {
		return "connect"
	}
	return strings.Join(kinds, "+")
}

// Default is the plan before anybody has said anything.
func Default() Plan {
	return Plan{
		Seed: 1, Path: "/socket.io/", Namespace: "/loadtest", Transport: Mix{{WebSocket, 1}}, Parser: "json",
		Clients: 100, Ramp: Duration(second), Rooms: 10, Publishers: 1, Publish: "socket", Payload: Payload{Min: 128, Max: 128},
		Warmup: Duration(second), Cooldown: Duration(second), Timeout: Duration(5 * second), Parts: 1,
	}
}

const second = 1_000_000_000

// Peak is the highest number of clients that are wanted at a time.
func (p *Plan) Peak() int {
	peak := p.Clients
	for i := range p.Stages {
		if c := p.Stages[i].Clients; c != nil {
			peak = max(peak, *c)
		}
	}
	return int(peak)
}

// UsesRooms tells whether clients are to join rooms.
func (p *Plan) UsesRooms() bool {
	return slices.ContainsFunc(p.Stages, func(s Stage) bool {
		return s.Fanout != nil || s.Churn != nil && s.Churn.Joins > 0
	})
}

// Members returns who is in each room, by the numbers of clients. Without rooms that is
// everybody in one.
func (p *Plan) Members() [][]int {
	rooms := make([][]int, max(1, p.Rooms))
	clients := p.Peak()
	if p.PerRoom == 0 {
		for c := range clients {
			rooms[c%len(rooms)] = append(rooms[c%len(rooms)], c)
		}
		return rooms
	}
	for r := range rooms {
		for i := range int(p.PerRoom) {
			rooms[r] = append(rooms[r], (r*int(p.PerRoom)+i)%clients)
		}
	}
	return rooms
}

// Load reads the file that the payload is made of.
func (p *Plan) Load() error {
	if p.Payload.File == "" || p.PayloadText != "" {
		return nil
	}
	data, err := os.ReadFile(p.Payload.File)
	if err != nil {
		return fmt.Errorf("payload: %w", err)
	}
	if !utf8.Valid(data) {
		return fmt.Errorf("payload: %s is not text in UTF-8", p.Payload.File)
	}
	p.PayloadText = string(data)
	return nil
}

// Split returns the share of each of n processes. Clients, rooms and rates are divided;
// each process has rooms of its own, so that its account is complete.
func (p *Plan) Split(n int) ([]Plan, error) {
	if n > 1 && p.UsesRooms() && p.Rooms == 0 {
		return nil, fmt.Errorf("rooms: 0 is for one process: what one of %d sends to everybody reaches the clients of the others, which know nothing of it", n)
	}
	if n < 1 || Count(n) > p.Clients || p.UsesRooms() && Count(n) > p.Rooms {
		return nil, fmt.Errorf("%d processes need as many clients and rooms: each has rooms of its own, so that its account is complete", n)
	}
	parts := make([]Plan, n)
	for i := range parts {
		q := *p
		q.Part, q.Parts = i, n
		q.Clients, q.Rooms = share(p.Clients, i, n), share(p.Rooms, i, n)
		q.ConnectRate /= Rate(n)
		q.Stages = slices.Clone(p.Stages)
		for j := range q.Stages {
			q.Stages[j] = p.Stages[j].split(i, n, float64(q.Rooms)/float64(max(1, p.Rooms)))
		}
		parts[i] = q
	}
	return parts, nil
}

func share(total Count, i, n int) Count {
	return total*Count(i+1)/Count(n) - total*Count(i)/Count(n)
}

func (s Stage) split(i, n int, rooms float64) Stage {
	if s.Clients != nil {
		c := share(*s.Clients, i, n)
		s.Clients = &c
	}
	if s.Echo != nil {
		t := *s.Echo
		t.Rate /= Rate(n)
		s.Echo = &t
	}
	if s.Fanout != nil {
		t := *s.Fanout
		t.Rate *= Rate(rooms)
		s.Fanout = &t
	}
	if s.Churn != nil {
		c := *s.Churn
		c.Joins *= Rate(rooms)
		c.Reconnects /= Rate(n)
		s.Churn = &c
	}
	if s.Storm != nil && i > 0 { // the hook is run once
		st := *s.Storm
		st.Hook = ""
		s.Storm = &st
	}
	return s
}

const redacted = "(not shown)"

// Redacted is the plan for documents and logs: without secrets.
func (p *Plan) Redacted() json.RawMessage {
	q := *p
	if q.Auth != nil {
		q.Auth = redacted
	}
	q.Headers = maps.Clone(q.Headers)
	for name := range q.Headers {
		q.Headers[name] = redacted
	}
	if q.PublishKey != "" {
		q.PublishKey = redacted
	}
	q.PayloadText = ""
	q.PublishURL = RedactURL(q.PublishURL)
	q.URLs = slices.Clone(q.URLs)
	for i, u := range q.URLs {
		q.URLs[i] = RedactURL(u)
	}
	data, err := json.Marshal(&q)
	if err != nil { // Auth came from JSON or YAML
		data, _ = json.Marshal(err.Error())
	}
	return data
}

// RedactURL takes name, password and query off an address.
func RedactURL(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.User == nil && u.RawQuery == "" {
		return address
	}
	u.User, u.RawQuery = nil, ""
	return u.String()
}

// Addresses lists the local addresses of the plan.
func (p *Plan) Addresses() ([]netip.Addr, error) {
	var all []netip.Addr
	for _, text := range p.LocalAddrs {
		from, to, isRange := strings.Cut(text, "-")
		a, err := netip.ParseAddr(strings.TrimSpace(from))
		b := a
		if err == nil && isRange {
			b, err = netip.ParseAddr(strings.TrimSpace(to))
		}
		if err != nil || b.Less(a) || a.Is4() != b.Is4() {
			return nil, fmt.Errorf("%q is not an address or a range: 127.0.0.2-127.0.0.9", text)
		}
		for ; !b.Less(a) && a.IsValid(); a = a.Next() {
			if len(all) == 1<<16 {
				return nil, fmt.Errorf("%q: more than 65,536 addresses", text)
			}
			all = append(all, a)
		}
	}
	return all, nil
}
