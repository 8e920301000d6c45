package rules

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/fanwire/fanwire/internal/gateway/config"
	"github.com/fanwire/fanwire/internal/gateway/identity"
	"github.com/fanwire/fanwire/node"
)

func relayTo(event string, rl config.Relay) config.Route {
	return config.Route{Events: []string{event}, Relay: &rl}
}

var anyRoom = config.Route{Events: []string{"join"}, Join: &config.RoomRule{Rooms: []string{"*"}}}

// Each part of a relay: rooms, exceptions, the sender, the name, and arguments that
// are what they were.
func TestRelay(t *testing.T) {
	s := one(config.Namespace{Name: "/t/{id}", Routes: []config.Route{
		anyRoom,
		relayTo("all", config.Relay{Members: true}),
		relayTo("self", config.Relay{Self: true}),
		relayTo("room", config.Relay{To: []string{"r-{args.0}"}, Members: true}),
		relayTo("field", config.Relay{To: []string{"{path.id}:{args.1.deep.room}"}, Event: "{event}-{args.0}"}),
		relayTo("except", config.Relay{Except: []string{"{args.0}"}, Volatile: true}),
		relayTo("many", config.Relay{To: []string{"r-a", "r-b", "r-c", "r-d", "r-e"}, Members: true}),
	}})
	g := start(t, s, Options{}, node.Config{})
	a, b, c := g.enter(t, "/t/7", nil), g.enter(t, "/t/7", nil), g.enter(t, "/t/7", nil)
	other := g.enter(t, "/t/8", nil)
	ns, _ := g.srv.Lookup("/t/7")

	a.answers(`{"rooms":["r-a","7:5"]}`, "join", []string{"r-a", "7:5"})
	b.answers(`{"rooms":["r-a"]}`, "join", "r-a")
	c.answers(`{"rooms":["7:5","only-c"]}`, "join", []string{"7:5", "only-c"})

	a.answers(`{"ok":true}`, "all", 1, "zwei", nil)
	b.hears(`["all",1,"zwei",null]`)
	c.hears(`["all",1,"zwei",null]`)
	a.answers(`{"ok":true}`, "self")
	a.hears(`["self"]`)
	b.hears(`["self"]`)
	c.hears(`["self"]`)
	a.answers(`{"ok":true}`, "room", "a", json.RawMessage(`{"n":12345678901234567890.10}`))
	b.hears(`["room","a",{"n":12345678901234567890.10}]`)
	a.answers(`{"ok":true}`, "field", 3, json.RawMessage(`{"deep":{"room":5}}`))
	c.hears(`["field-3",3,{"deep":{"room":5}}]`)
	a.answers(`{"ok":true}`, "except", "only-c")
	b.hears(`["except","only-c"]`)
	b.answers(`{"ok":true}`, "many", "x") // in one of them
	a.hears(`["many","x"]`)
	c.code(Forbidden, "many", "x") // in none
	for _, p := range []*guest{a, b, c} {
		p.hearsNothing(ns)
	}
	ns8, _ := g.srv.Lookup("/t/8")
	other.hearsNothing(ns8)
	st := g.Stats()
	if st.Relayed != 6 || st.Joined != 3 || st.Refused[Forbidden] != 1 {
		t.Errorf("%+v", st)
	}
}

// Binary arguments pass through untouched, on this node and to another one.
func TestRelayBinary(t *testing.T) {
	list, _ := cluster(t, 2, routes(relayTo("*", config.Relay{})), Options{})
	a, b, c := list[0].enter(t, "/", nil), list[0].enter(t, "/", nil), list[1].enter(t, "/", nil)
	a.answers(`{"ok":true}`, "photo", map[string]any{"by": "me", "data": []byte{0, 1, 255}}, []byte("second"))
	want := `["photo",{"by":"me","data":{"_placeholder":true,"num":0}},{"_placeholder":true,"num":1}]`
	b.hears(want)
	c.hears(want)
}

// A client emits to no room that it is not in, whichever other rooms there are, if it
// has chosen the room; and to nobody's own room.
func TestRelayMembers(t *testing.T) {
	g := start(t, routes(
		config.Route{Events: []string{"join"}, Join: &config.RoomRule{Rooms: []string{"pub-*"}}},
		relayTo("one", config.Relay{To: []string{"{args.0}"}, Members: true}),
		relayTo("two", config.Relay{To: []string{"{args.0}", "{args.1}"}, Members: true}),
		relayTo("with", config.Relay{To: []string{"{args.0}", "staff"}, Members: true}),
		relayTo("open", config.Relay{To: []string{"{args.0}"}}),
	), Options{}, node.Config{})
	a, b := g.enter(t, "/", nil), g.enter(t, "/", nil)
	a.answers(`{"rooms":["pub-1"]}`, "join", "pub-1")
	b.answers(`{"rooms":["pub-2"]}`, "join", "pub-2")
	a.code(Forbidden, "one", "pub-2")
	a.code(Forbidden, "two", "pub-1", "pub-2")
	a.code(Forbidden, "two", "pub-2", "pub-1")
	a.code(Forbidden, "one", b.ID())
	a.answers(`{"ok":true}`, "with", "pub-1")
	a.answers(`{"ok":true}`, "open", "pub-2")
	b.hears(`["open","pub-2"]`)
	a.answers(`{"ok":true}`, "open", b.ID())
	b.hears(`["open","` + b.ID() + `"]`)
	b.hearsNothing(g.srv.Of("/"))
}

// Whatever a client sends, there is no room without a name, none that is too long,
// and no event with a name that is not one.
func TestRelayHostile(t *testing.T) {
	g := start(t, routes(
		relayTo("to", config.Relay{To: []string{"r-{args.0}"}}),
		relayTo("deep", config.Relay{To: []string{"r-{args.0.a.b}"}}),
		relayTo("user", config.Relay{To: []string{"{user}"}}),
		relayTo("name", config.Relay{Event: "{args.0}"}),
		relayTo("except", config.Relay{Except: []string{"{args.0}"}}),
	), Options{}, node.Config{})
	p := g.enter(t, "/", nil)
	long := strings.Repeat("x", 5000)
	for _, bad := range []any{nil, "", true, []int{1}, map[string]int{"a": 1}, "a\x00b", long, []byte("binary"), json.RawMessage(`{"a":{"b":"x"}}`)} {
		p.code(BadRequest, "to", bad)
	}
	for _, bad := range []any{nil, "a", 1, json.RawMessage(`{"a":1}`), json.RawMessage(`{"a":{"b":{}}}`), json.RawMessage(`{"a":[{"b":"x"}]}`), json.RawMessage(`{"a":{"b":"x"},"a":1}`)} {
		p.code(BadRequest, "deep", bad)
	}
	p.code(BadRequest, "to")
	p.code(Forbidden, "user") // it has no user
	for _, bad := range []string{"connect", "disconnect", "connect_error", "disconnecting", long} {
		p.code(BadRequest, "name", bad)
	}
	p.code(BadRequest, "except")
	for _, good := range []any{"ü*😀", 0, -1.5, json.RawMessage(`"\u0061"`), strings.Repeat("y", 4000)} {
		p.answers(`{"ok":true}`, "to", good)
	}
	p.answers(`{"ok":true}`, "deep", json.RawMessage(` { "a" : 1, "a" : { "b\u0062" : 2 , "\u0062" : "x" } } `))
	if n := g.Stats().Refused[BadRequest]; n != 23 {
		t.Errorf("%d bad requests counted", n)
	}
}

// What a token does not allow is not sent, whatever the routes are; and an event that
// no route is for gets no answer.
func TestMaySend(t *testing.T) {
	s := one(config.Namespace{Auth: []string{"jwt"}, Routes: []config.Route{
		{Events: []string{"chat.*", "x"}, Relay: &config.Relay{}},
		{Events: []string{"nothing"}, Ignore: true},
		{Events: []string{"chat.said", "*.end"}, Ignore: true},
	}})
	v := verifier{
		"some": {Client: identity.Client{User: "ann", MaySend: []string{"chat.say", "*.end", "nothing"}}},
		"none": {Client: identity.Client{User: "bob", MaySend: []string{}}},
		"all":  {Client: identity.Client{User: "eve"}},
	}
	g := start(t, s, Options{Verifier: v}, node.Config{})
	some, none, all := g.enter(t, "/", tokenOf("some")), g.enter(t, "/", tokenOf("none")), g.enter(t, "/", tokenOf("all"))
	some.answers(`{"ok":true}`, "chat.say", 1)
	none.hears(`["chat.say",1]`)
	all.hears(`["chat.say",1]`)
	some.code(Forbidden, "chat.shout")
	some.code(Forbidden, "x")
	none.code(Forbidden, "x")
	all.answers(`{"ok":true}`, "x")
	all.emit("y")
	all.emit("nothing")
	some.emit("the.end")
	eventually(t, "counted", func() bool {
		st := g.Stats()
		return st.Unmatched == 1 && st.Ignored == 2 && st.Refused[Forbidden] == 3 && st.Relayed == 2
	})
	if n := g.srv.Stats().EventsUnhandled; n != 1 {
		t.Errorf("%d unhandled", n)
	}
}
