package demo

import (
	"encoding/json"
	"fmt"
	"io"
)

// line is what the demo prints. The JSON form is stable: fields are added, never
// renamed.
type line struct {
	Event string `json:"event"`          // listening, ready, stopping
	Role  string `json:"role,omitempty"` // balancer, node, redis
	Node  string `json:"node,omitempty"`
	URL   string `json:"url,omitempty"`

	text string // instead of the text made of the fields
}

func (d *Demo) lines() []line {
	lines := []line{{Event: "listening", Role: "balancer", URL: d.URL()}}
	for _, n := range d.nodes {
		lines = append(lines, line{Event: "listening", Role: "node", Node: n.id, URL: n.front.URL()})
	}
	if d.redis != nil {
		lines = append(lines, line{Event: "listening", Role: "redis", URL: "redis://" + d.redis.Addr()})
	}
	return append(lines, line{
		Event: "ready",
		text:  "\nOpen " + d.URL() + " in two browser tabs. Ctrl-C ends the demo.",
	})
}

type printer struct {
	out  io.Writer
	json bool
	err  error // the first one
}

func (p *printer) print(l line) {
	text := l.String()
	if p.json {
		data, err := json.Marshal(l)
		if err != nil { // strings only
			panic(err)
		}
		text = string(data)
	}
	if _, err := fmt.Fprintln(p.out, text); p.err == nil && err != nil {
		p.err = fmt.Errorf("demo: print: %w", err)
	}
}

func (l line) String() string {
	switch {
	case l.text != "":
		return l.text
	case l.Event != "listening":
		return l.Event
	case l.Role == "node":
		return fmt.Sprintf("%-9s %s", "node "+l.Node, l.URL)
	default:
		return fmt.Sprintf("%-9s %s", l.Role, l.URL)
	}
}
