package rules

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/fanwire/fanwire/internal/gateway/command"
	"github.com/fanwire/fanwire/internal/gateway/config"
	"github.com/fanwire/fanwire/internal/gateway/template"
)

// Settings are what a [Table] is made of.
type Settings struct {
	Namespaces []config.Namespace
	Limits     config.Limits   // of them Rooms and RoomName
	Hooks      map[string]Hook // by the names of the configuration
}

// Table is a configuration ready for use. It does not change.
type Table struct {
	// exact has the names that are configured without wildcards. What counts for them
	// may stand before them, as a pattern.
	exact          map[string]*space
	patterns       []*space // in order
	maxRooms       int      // of one socket
	maxName        int      // bytes of the name of a room
	maxAttachments int      // of what a backend emits, negative: no limit
}

// space is what is configured for a namespace, or for all that fit a pattern.
type space struct {
	path      pathPattern
	anonymous bool
	jwt       bool
	ask       bool // the webhook decides on clients
	hook      Hook // nil without
	hookName  string
	connected bool // the webhook hears of clients that are in
	gone      bool // and of those that have left
	join      []*template.Template

	named map[string]*route // routes by names without a star
	wild  []wildRoute       // for all other names, in order
	rated int               // routes with a rate
}

// wildRoute is a route for the events that fit a pattern.
type wildRoute struct {
	events template.Glob
	route  *route
}

// find returns what is configured for a namespace, nil if nothing is.
func (t *Table) find(name string) *space {
	if sp, ok := t.exact[name]; ok {
		return sp
	}
	return t.pattern(name)
}

func (t *Table) pattern(name string) *space {
	for _, sp := range t.patterns {
		if sp.path.match(name) {
			return sp
		}
	}
	return nil
}

// takes tells whether a name fits a pattern.
func (t *Table) takes(name string) bool { return t.pattern(name) != nil }

// route returns the first route that fits an event, nil if none does.
func (sp *space) route(event string) *route {
	if rt, ok := sp.named[event]; ok {
		return rt
	}
	for i := range sp.wild {
		if w := &sp.wild[i]; w.events.Match(event) {
			return w.route
		}
	}
	return nil
}

// problems collects what is wrong.
type problems []string

func (p *problems) add(path, format string, args ...any) {
	*p = append(*p, path+": "+fmt.Sprintf(format, args...))
}

// Problems is the error for settings that are wrong: one line for each mistake,
// with its path.
type Problems []string

func (p Problems) Error() string { return "rules: " + strings.Join(p, "\n") }

// Compile makes a table. The error is [Problems]: everything that is wrong at once.
func Compile(s Settings) (*Table, error) {
	t := &Table{exact: map[string]*space{}, maxRooms: s.Limits.Rooms, maxName: s.Limits.RoomName, maxAttachments: cmp.Or(s.Limits.Attachments, -1)}
	if t.maxName <= 0 || t.maxName > nodeRoomName {
		t.maxName = nodeRoomName
	}
	if t.maxRooms <= 0 {
		t.maxRooms = defaultRooms
	}
	var bad problems
	var order []*space
	for i := range s.Namespaces {
		if sp := compileSpace(&s.Namespaces[i], &s, fmt.Sprintf("namespaces[%d]", i), &bad); sp != nil {
			order = append(order, sp)
			if sp.path.plain() {
				t.exact[s.Namespaces[i].Name] = nil
			} else {
				t.patterns = append(t.patterns, sp)
			}
		}
	}
	if len(bad) > 0 {
		return nil, Problems(bad)
	}
	for name := range t.exact {
		i := slices.IndexFunc(order, func(sp *space) bool { return sp.path.match(name) })
		t.exact[name] = order[i]
	}
	return t, nil
}

// commandLimits are those of what backends ask for.
func (t *Table) commandLimits() command.Limits {
	return command.Limits{RoomName: t.maxName, Attachments: t.maxAttachments}
}

// nodeRoomName and defaultRooms are the limits of node where none is configured.
const (
	nodeRoomName = 4096
	defaultRooms = 10_000
)

func compileSpace(c *config.Namespace, s *Settings, at string, bad *problems) *space {
	if _, err := template.PathNames(c.Name); err != nil {
		bad.add(at+".name", "%q %v", c.Name, err)
		return nil
	}
	sp := &space{path: parsePath(c.Name), hookName: c.Webhook, named: map[string]*route{}}
	sp.compileAuth(c, s, at, bad)
	for i, text := range c.Join {
		where := fmt.Sprintf("%s.join[%d]", at, i)
		if t := sp.template(text, where, bad); t != nil {
			if uses(t, template.Args, template.Event) {
				bad.add(where, "a client that connects has sent no event: {args} and {event} have no value")
			}
			sp.join = append(sp.join, t)
		}
	}
	for i := range c.Routes {
		sp.compileRoute(&c.Routes[i], s, fmt.Sprintf("%s.routes[%d]", at, i), bad)
	}
	return sp
}

func (sp *space) compileAuth(c *config.Namespace, s *Settings, at string, bad *problems) {
	for _, way := range c.Auth {
		switch way {
		case "anonymous":
			sp.anonymous = true
		case "jwt":
			sp.jwt = true
		case "webhook":
			sp.ask = true
		default:
			bad.add(at+".auth", "%q is none of anonymous, jwt, webhook", way)
		}
	}
	if len(c.Auth) == 0 {
		sp.anonymous = true // the default of the configuration
	}
	for _, what := range c.Notify {
		switch what {
		case "connected":
			sp.connected = true
		case "disconnected":
			sp.gone = true
		default:
			bad.add(at+".notify", "%q is none of connected, disconnected", what)
		}
	}
	if c.Webhook != "" {
		if sp.hook = s.Hooks[c.Webhook]; sp.hook == nil {
			bad.add(at+".webhook", "there is no webhook %q", c.Webhook)
		}
	} else if sp.ask || sp.connected || sp.gone {
		bad.add(at+".webhook", "is not set, but auth or notify need one")
	}
}

// template reads a template whose {path} fields the namespace must have.
func (sp *space) template(text, at string, bad *problems) *template.Template {
	t, err := template.Parse(text)
	if err != nil {
		bad.add(at, "%q %v", text, err)
		return nil
	}
	for f := range t.Fields {
		if f.Source == template.Path && !sp.path.has(f.Names[0]) {
			bad.add(at, "%q: the name of the namespace has no {%s}", text, f.Names[0])
			return nil
		}
	}
	return t
}

func (sp *space) templates(texts []string, at string, bad *problems) []*template.Template {
	var list []*template.Template
	for i, text := range texts {
		if t := sp.template(text, fmt.Sprintf("%s[%d]", at, i), bad); t != nil {
			list = append(list, t)
		}
	}
	return list
}

// uses tells whether a template has a field of one of these sources.
func uses(t *template.Template, sources ...template.Source) bool {
	for f := range t.Fields {
		if slices.Contains(sources, f.Source) {
			return true
		}
	}
	return false
}
