package rules

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fanwire/fanwire/internal/gateway/config"
	"github.com/fanwire/fanwire/internal/gateway/webhook"
)

// pass lets time pass in a bubble of synctest.
func pass(d time.Duration) { time.Sleep(d) }

// Everything that is wrong is told at once, with its path.
func TestCompileProblems(t *testing.T) {
	ignore := func(events ...string) config.Route { return config.Route{Events: events, Ignore: true} }
	bad := Settings{Namespaces: []config.Namespace{
		{Name: "x"},
		{Name: "/a", Auth: []string{"password", "webhook"}, Notify: []string{"event"}, Join: []string{"", "{path.id}", "{args.0}", "{nope}"}},
		{Name: "/b/{id}", Webhook: "missing", Routes: []config.Route{
			{},
			ignore(),
			ignore(""),
			{Events: []string{"a"}, Ignore: true, Webhook: "missing"},
			{Events: []string{"a"}, Join: &config.RoomRule{}},
			{Events: []string{"a"}, Leave: &config.RoomRule{Rooms: []string{"{path.other}"}}},
			{Events: []string{"a"}, Stream: &config.Stream{Key: "{user}:x"}},
			{Events: []string{"a"}, Stream: &config.Stream{Key: "fanwire:x"}},
			{Events: []string{"a"}, Stream: &config.Stream{Key: "x:{args.0}"}},
			{Events: []string{"a"}, Stream: &config.Stream{Key: "x:{event}"}},
			{Events: []string{"a"}, Relay: &config.Relay{To: []string{"{"}, Except: []string{"}"}, Event: "{x}"}},
			{Events: []string{"a"}, Ignore: true, Rate: -1},
		}},
	}}
	_, err := Compile(bad)
	var problems Problems
	if !errors.As(err, &problems) {
		t.Fatal(err)
	}
	for _, want := range []string{
		"namespaces[0].name: ", "namespaces[1].auth: ", "namespaces[1].webhook: ", "namespaces[1].notify: ", "namespaces[1].join[0]: ", "namespaces[1].join[1]: ",
		"namespaces[1].join[2]: ", "namespaces[1].join[3]: ", "namespaces[2].webhook: ", "namespaces[2].routes[0]: ", "namespaces[2].routes[0].events: ",
		"namespaces[2].routes[1].events: ", "namespaces[2].routes[2].events[0]: ", "namespaces[2].routes[3]: ", "namespaces[2].routes[3].webhook: ",
		"namespaces[2].routes[4].join.rooms: ", "namespaces[2].routes[5].leave.rooms[0]: ", "namespaces[2].routes[6].stream.key: ",
		"namespaces[2].routes[7].stream.key: ", "namespaces[2].routes[8].stream.key: ", "namespaces[2].routes[9].stream.key: ",
		"namespaces[2].routes[10].relay.to[0]: ", "namespaces[2].routes[10].relay.except[0]: ", "namespaces[2].routes[10].relay.event: ", "namespaces[2].routes[11]: ",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("nothing about %s", want)
		}
	}
	if len(problems) != 25 {
		t.Errorf("%d problems: %v", len(problems), err)
	}
}

// The first namespace that fits counts, and the first route.
func TestFind(t *testing.T) {
	s := Settings{
		Hooks: map[string]Hook{"w": hook(func(context.Context, webhook.Request) (webhook.Response, error) { return webhook.Response{}, nil })},
		Namespaces: []config.Namespace{
			{Name: "/a/b", Notify: []string{"connected"}, Webhook: "w"},
			{Name: "/a/{x}", Routes: []config.Route{
				{Events: []string{"x", "a*"}, Ignore: true},
				{Events: []string{"abc", "b"}, Webhook: "w"},
				{Events: []string{"*"}, Join: &config.RoomRule{Rooms: []string{"r"}}},
				{Events: []string{"c"}, Webhook: "w"},
			}},
			{Name: "/a/c", Notify: []string{"connected"}, Webhook: "w"},
			{Name: "/{all...}"},
			{Name: "/"},
		},
	}
	table, err := Compile(s)
	if err != nil {
		t.Fatal(err)
	}
	if !table.find("/a/b").connected || table.find("/a/c").connected || table.find("/a/d").connected || table.find("/") == nil || table.find("/z/z") == nil {
		t.Error("not the first")
	}
	for event, want := range map[string]action{"x": actIgnore, "abc": actIgnore, "a": actIgnore, "b": actWebhook, "c": actJoin, "": actJoin} {
		if rt := table.find("/a/d").route(event); rt == nil || rt.act != want {
			t.Errorf("%q: %+v", event, rt)
		}
	}
	if got := table.find("/q/w/e").path.value("/q/w/e", "all"); got != "q/w/e" {
		t.Error(got)
	}
}

// A client's events pass as fast as the bucket fills, each route for itself.
func TestBucket(t *testing.T) {
	var b bucket
	now := time.Now()
	for i, tt := range []struct {
		after time.Duration
		want  bool
	}{{0, true}, {0, true}, {0, false}, {499 * time.Millisecond, false}, {time.Millisecond, true}, {0, false}, {time.Hour, true}, {0, true}, {0, false}, {-time.Hour, false}, {500 * time.Millisecond, true}} {
		now = now.Add(tt.after)
		if got := b.take(2, 2, now); got != tt.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
}

func TestLookUp(t *testing.T) {
	for _, tt := range []struct {
		raw, path, want string
	}{
		{`"x"`, "", "x"},
		{` 12 `, "", "12"},
		{`-1.50e3`, "", "-1.50e3"},
		{`{"a":{"b":"c"}}`, "a.b", "c"},
		{`{"x":[{"a":"no"}],"y":"}\"{","a":7}`, "a", "7"},
		{`{"a":1,"a":2}`, "a", "2"},
		{`{"\u0061":"\u00fc"}`, "a", "ü"},
		{`{"a\"":1}`, `a"`, "1"},
		{`{"":"e"}`, "-", ""},
		{`[1]`, "0", ""},
		{`true`, "", ""},
		{`null`, "", ""},
		{`{}`, "a", ""},
		{`{"a":{}}`, "a", ""},
		{``, "", ""},
		{`{"a"`, "a", ""},
		{`{"a":`, "a", ""},
		{`"`, "", ""},
		{`"\`, "", ""},
	} {
		var names []string
		if tt.path != "" {
			names = strings.Split(tt.path, ".")
		}
		if got, ok := lookUp([]byte(tt.raw), names); got != tt.want || ok != (tt.want != "") {
			t.Errorf("%s %s: %q %v", tt.raw, tt.path, got, ok)
		}
	}
}

// What lookUp finds is what encoding/json does, and nothing makes it panic.
func FuzzLookUp(f *testing.F) {
	f.Add([]byte(`{"a":{"b":"c"}}`), "a", "b")
	f.Add([]byte(`{"a":1,"\u0061":[{}],"a":" \" "}`), "a", "")
	f.Add([]byte(`{"a`), "a", "b")
	f.Fuzz(func(t *testing.T, raw []byte, one, two string) {
		names := []string{one}
		if two != "" {
			names = append(names, two)
		}
		got, ok := lookUp(raw, names)
		if !json.Valid(raw) || !strings.EqualFold(strings.ToValidUTF8(string(raw), ""), string(raw)) {
			return
		}
		want, found := slowLookUp(raw, names)
		if got != want || ok != found {
			t.Fatalf("%s %q: %q %v, want %q %v", raw, names, got, ok, want, found)
		}
	})
}

func slowLookUp(raw json.RawMessage, names []string) (string, bool) {
	for _, name := range names {
		var object map[string]json.RawMessage
		if json.Unmarshal(raw, &object) != nil {
			return "", false
		}
		raw = object[name]
	}
	var text string
	var number json.Number
	switch raw = json.RawMessage(strings.TrimSpace(string(raw))); {
	case len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, &text) == nil:
		return text, true
	case len(raw) > 0 && raw[0] != '"' && string(raw) != "null" && json.Unmarshal(raw, &number) == nil:
		return number.String(), true
	}
	return "", false
}
