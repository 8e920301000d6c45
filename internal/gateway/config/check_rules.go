package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fanwire/fanwire/internal/gateway/template"
)

// maxList bounds the lists of names in a namespace or route.
const maxList = 1000

func (k *checker) namespaces() {
	seen := make(map[string]int)
	for i, ns := range k.c.Namespaces {
		at := index("namespaces", i)
		names := k.pathNames(at+".name", ns.Name)
		if first, ok := seen[ns.Name]; ok && ns.Name != "" {
			k.bad(at+".name", "is that of namespaces[%d] already", first)
		} else {
			seen[ns.Name] = i
		}
		if k.c.AdminUI.Enabled && ns.Name == k.c.AdminUI.Namespace {
			k.bad(at+".name", "is that of the admin UI")
		}
		if k.c.LoadTest && ns.Name == LoadTestNamespace {
			k.bad(at+".name", "is that of loadtest")
		}
		k.namespace(at, ns)
		scope := scope{names: names, auth: ns.Auth}
		k.templates(at+".join", ns.Join, scope)
		scope.event = true
		all := -1 // the route that takes every event
		for r, route := range ns.Routes {
			at := fmt.Sprintf("%s.routes[%d]", at, r)
			if all >= 0 {
				k.bad(at, "is never reached: routes[%d] takes every event", all)
			}
			k.route(at, route, scope)
			if all < 0 && slices.Contains(route.Events, "*") {
				all = r
			}
		}
	}
}

// namespace checks who gets in and who hears of it.
func (k *checker) namespace(at string, ns Namespace) {
	k.someOf(at+".auth", ns.Auth, "anonymous", "jwt", "webhook")
	decides := slices.Contains(ns.Auth, "webhook")
	switch {
	case len(ns.Auth) == 0:
		k.bad(at+".auth", "must name one way at least")
	case slices.Contains(ns.Auth, "jwt") && !k.c.Auth.JWT.HasKeys():
		k.bad(at+".auth", "has jwt, but auth.jwt has no key: no token could be verified")
	}
	k.someOf(at+".notify", ns.Notify, "connected", "disconnected")
	switch {
	case ns.Webhook != "":
		k.hook(at+".webhook", ns.Webhook)
		if !decides && len(ns.Notify) == 0 {
			k.warn(at+".webhook", "hears nothing: neither auth nor notify says of what")
		}
	case decides:
		k.bad(at+".webhook", "is needed with webhook in auth")
	case len(ns.Notify) > 0:
		k.bad(at+".webhook", "is needed with notify")
	}
}

// hook checks the name of a webhook.
func (k *checker) hook(path, name string) {
	if _, ok := k.c.Webhooks[name]; !ok {
		k.bad(path, "there is no webhook %s%s", quote(name), suggest(name, slices.Sorted(maps.Keys(k.c.Webhooks))))
	}
}

// reserved are events that no client can send (SIO: reserved names).
var reserved = []string{"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"}

func (k *checker) route(at string, r Route, s scope) {
	k.patterns(at+".events", r.Events)
	for i, event := range r.Events {
		if slices.Contains(reserved, event) {
			k.bad(index(at+".events", i), "never arrives: %s is reserved", event)
		}
	}
	between(k, at+".rate", r.Rate, 0, 1e9)
	between(k, at+".burst", r.Burst, 0, 1e9)
	if r.Rate == 0 && r.Burst > 0 {
		k.bad(at+".burst", "is for routes with a rate")
	}
	switch {
	case r.MaxSize < 0:
		k.bad(at+".max_size", "must not be negative")
	case r.MaxSize > k.c.SocketIO.MaxPayload:
		k.bad(at+".max_size", "must not be more than socketio.max_payload, %v", k.c.SocketIO.MaxPayload)
	}
	k.actions(at, r)
	if r.Relay != nil {
		k.templates(at+".relay.to", r.Relay.To, s)
		k.templates(at+".relay.except", r.Relay.Except, s)
		if r.Relay.Event != "" {
			k.template(at+".relay.event", r.Relay.Event, s)
		}
	}
	if r.Webhook != "" {
		k.hook(at+".webhook", r.Webhook)
	} else if r.Concurrent {
		k.bad(at+".concurrent", "is for routes with a webhook")
	}
	if r.Stream != nil {
		k.streamKey(at+".stream.key", r.Stream.Key, s)
		between(k, at+".stream.max_len", r.Stream.MaxLen, 1, 1e9)
	}
	for name, rule := range map[string]*RoomRule{"join": r.Join, "leave": r.Leave} {
		if rule == nil {
			continue
		}
		if len(rule.Rooms) == 0 {
			k.bad(at+"."+name+".rooms", "must have one pattern at least")
		}
		k.templates(at+"."+name+".rooms", rule.Rooms, s)
	}
}

// streamKey checks that clients do not choose keys in Redis.
func (k *checker) streamKey(path, key string, s scope) {
	t := k.template(path, key, s)
	if t == nil {
		return
	}
	if strings.HasPrefix(key, "{") && !strings.HasPrefix(key, "{{") {
		k.bad(path, "must begin with a text")
	} else if strings.HasPrefix(key, "fanwire") {
		k.bad(path, "must not begin with fanwire: such keys are the gateway's")
	}
	for f := range t.Fields {
		if f.Source == template.Args || f.Source == template.Event {
			k.bad(path, "has {%s}: clients do not choose keys in Redis", f)
		}
	}
}

// actions checks that a route does exactly one thing.
func (k *checker) actions(at string, r Route) {
	var set []string
	for _, a := range []struct {
		name string
		set  bool
	}{
		{"relay", r.Relay != nil},
		{"webhook", r.Webhook != ""},
		{"stream", r.Stream != nil},
		{"join", r.Join != nil},
		{"leave", r.Leave != nil},
		{"ignore", r.Ignore},
	} {
		if a.set {
			set = append(set, a.name)
		}
	}
	switch len(set) {
	case 0:
		k.bad(at, "does nothing: one of relay, webhook, stream, join, leave and ignore must be set")
	case 1:
	default:
		k.bad(at, "must do one thing, and has %s", strings.Join(set, " and "))
	}
}

// patterns checks a list of globs, of which there must be one.
func (k *checker) patterns(path string, list []string) {
	switch {
	case len(list) == 0:
		k.bad(path, "must have one at least")
	case len(list) > maxList:
		k.bad(path, "has more than %d", maxList)
	}
	for i, v := range list {
		if _, err := template.ParseGlob(v); err != nil {
			k.bad(index(path, i), "%v", err)
		}
	}
}

// scope says which fields have values where a template stands.
type scope struct {
	names []string // wildcards of the namespace
	auth  []string
	event bool // whether there is one
}

func (k *checker) templates(path string, list []string, s scope) {
	if len(list) > maxList {
		k.bad(path, "has more than %d", maxList)
	}
	for i, v := range list {
		k.template(index(path, i), v, s)
	}
}

// template returns nil if the template cannot be read.
func (k *checker) template(path, text string, s scope) *template.Template {
	t, err := template.Parse(text)
	if err != nil {
		k.bad(path, "%v", err)
		return nil
	}
	for f := range t.Fields {
		if message := s.never(f); message != "" {
			k.bad(path, "has {%s}: %s", f, message)
		}
	}
	return t
}

// never tells why a field can have no value here.
func (s scope) never(f template.Field) string {
	switch f.Source {
	case template.Event, template.Args:
		if !s.event {
			return "there is no event yet"
		}
	case template.Path:
		if !slices.Contains(s.names, f.Names[0]) {
			return "the namespace's name has no such wildcard"
		}
	case template.Claims:
		if !slices.Contains(s.auth, "jwt") {
			return "there are no claims without jwt in auth"
		}
	case template.User:
		if !slices.Contains(s.auth, "jwt") && !slices.Contains(s.auth, "webhook") {
			return "nobody has a name with the auth anonymous alone"
		}
	}
	return ""
}

// pathNames checks the name or pattern of a namespace and returns its wildcards.
func (k *checker) pathNames(path, name string) []string {
	names, err := template.PathNames(name)
	if err != nil {
		k.bad(path, "%s %v", quote(name), err)
	}
	return names
}
