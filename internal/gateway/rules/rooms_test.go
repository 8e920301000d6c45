package rules

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fanwire/fanwire/internal/gateway/config"
	"github.com/fanwire/fanwire/internal/gateway/identity"
	"github.com/fanwire/fanwire/node"
)

func joinRoute(event string, patterns ...string) config.Route {
	return config.Route{Events: []string{event}, Join: &config.RoomRule{Rooms: patterns}}
}

func leaveRoute(event string, patterns ...string) config.Route {
	return config.Route{Events: []string{event}, Leave: &config.RoomRule{Rooms: patterns}}
}

// roomsOf returns the rooms of a client but for its own.
func (g *gateway) roomsOf(t testing.TB, ns string, p *guest) []string {
	t.Helper()
	list := slices.DeleteFunc(g.socket(t, ns, p).Rooms(), func(room string) bool { return room == p.ID() })
	slices.Sort(list)
	return list
}

func (g *gateway) isIn(t testing.TB, ns string, p *guest, rooms ...string) {
	t.Helper()
	if got := g.roomsOf(t, ns, p); !slices.Equal(got, rooms) {
		t.Errorf("is in %q, want %q", got, rooms)
	}
}

// A client joins and leaves what fits a pattern of the route and of its token: all
// rooms of an event, or none.
func TestJoinLeave(t *testing.T) {
	s := one(config.Namespace{Name: "/t/{id}", Auth: []string{"jwt"}, Routes: []config.Route{
		joinRoute("join", "{path.id}:*", "u:{user}:*", "lobby"),
		leaveRoute("leave", "{path.id}:*", "lobby"),
	}})
	v := verifier{
		"ann":  {Client: identity.Client{User: "ann"}},
		"star": {Client: identity.Client{User: "*"}},
		"few":  {Client: identity.Client{User: "few", MayJoin: []string{"7:a*", "lobby"}}},
		"none": {Client: identity.Client{User: "none", MayJoin: []string{}}},
	}
	g := start(t, s, Options{Verifier: v}, node.Config{})
	ns := "/t/7"
	ann, star := g.enter(t, ns, tokenOf("ann")), g.enter(t, ns, tokenOf("star"))
	few, none := g.enter(t, ns, tokenOf("few")), g.enter(t, ns, tokenOf("none"))

	ann.answers(`{"rooms":["7:1","u:ann:x","lobby"]}`, "join", []string{"7:1", "u:ann:x", "lobby", "7:1"})
	ann.code(Forbidden, "join", []string{"7:2", "8:2"})
	ann.code(Forbidden, "join", "u:bob:x")
	g.isIn(t, ns, ann, "7:1", "lobby", "u:ann:x")
	ann.code(Forbidden, "leave", []string{"lobby", "u:ann:x"})
	ann.answers(`{"rooms":["7:1","7:9"]}`, "leave", []string{"7:1", "7:9"})
	g.isIn(t, ns, ann, "lobby", "u:ann:x")

	star.code(Forbidden, "join", "u:ann:x") // a star in a value is itself
	star.answers(`{"rooms":["u:*:x"]}`, "join", "u:*:x")
	few.code(Forbidden, "join", []string{"7:a1", "7:b"})
	few.answers(`{"rooms":["7:a1"]}`, "join", "7:a1")
	none.code(Forbidden, "join", "lobby")
	none.answers(`{"rooms":["lobby"]}`, "leave", "lobby")
	none.emit("join", "lobby") // without an ack
	none.answers(`{"rooms":["lobby"]}`, "leave", "lobby")
	g.isIn(t, ns, none)
	if st := g.Stats(); st.Joined != 3 || st.Left != 3 || st.Refused[Forbidden] != 7 {
		t.Errorf("%+v", st)
	}
}

// No client gets into the room of another one's id, or out of its own, unless the
// configuration names the very room.
func TestRoomsOfIDs(t *testing.T) {
	g := start(t, routes(
		joinRoute("join", "*", "support-tickets-2026"),
		leaveRoute("leave", "*", "{socket}"),
	), Options{}, node.Config{})
	a, b := g.enter(t, "/", nil), g.enter(t, "/", nil)
	for _, id := range []string{
		a.ID(), b.ID(), strings.Repeat("x", 20), "support_tickets_2026",
		strings.Repeat("s", 27) + ".n1", "/chat#" + strings.Repeat("s", 27) + ".n1", "/a#b#" + strings.Repeat("s", 20),
	} {
		a.code(Forbidden, "join", id)
		a.code(Forbidden, "join", []string{"fine", id})
		a.code(Forbidden, "leave", id)
	}
	for _, name := range []string{
		"support-tickets-2026", strings.Repeat("x", 19), strings.Repeat("x", 21), "twenty characters !!", "doc:" + b.ID(),
		"/chat#room", "/chat", strings.Repeat("s", 27) + ".", strings.Repeat("s", 26) + ".n1",
	} {
		a.answers(`{"rooms":["`+name+`"]}`, "join", name)
	}
	if err := g.srv.To(b.ID()).Emit(t.Context(), "private"); err != nil {
		t.Fatal(err)
	}
	b.hears(`["private"]`)
	a.hearsNothing(g.srv.Of("/")) // which is sent to its own room: it is still in there
}

// A list of rooms is whatever a client makes of it.
func TestJoinHostile(t *testing.T) {
	s := routes(joinRoute("join", "*"))
	s.Limits = config.Limits{RoomName: 64, Rooms: 300}
	g := start(t, s, Options{}, node.Config{Limits: node.Limits{Rooms: 300}})
	p := g.enter(t, "/", nil)
	many := make([]string, 10_000)
	for i := range many {
		many[i] = fmt.Sprint("room", i)
	}
	for _, bad := range []any{
		nil, 1, true,
		map[string]any{"room": "x"},
		[]any{},
		[]any{"a", 1},
		[]any{"a", nil},
		[]any{[]string{"a"}},
		"",
		[]string{"a", ""},
		"a\x00", strings.Repeat("x", 65), []byte("a"), json.RawMessage(`["a",{"b":"c"}]`),
	} {
		p.code(BadRequest, "join", bad)
	}
	p.code(BadRequest, "join")
	p.code(TooLarge, "join", many)
	p.code(TooLarge, "join", many[:maxAsked+1])
	g.isIn(t, "/", p)
	p.ask("join", many[:maxAsked])
	if n := len(g.roomsOf(t, "/", p)); n != maxAsked {
		t.Errorf("is in %d rooms", n)
	}
	p.code(Forbidden, "join", many[maxAsked:2*maxAsked]) // more than a socket may be in
	p.answers(`{"rooms":["*","{user}","ü😀\u2028"]}`, "join", json.RawMessage(` [ "*" , "\u007buser}", "ü😀\u2028" ,"*"] `))
	if !slices.Contains(g.roomsOf(t, "/", p), "{user}") {
		t.Error("not in {user}")
	}
}

// A pattern whose field has no value fits nothing; the others still do.
func TestPatternWithoutValue(t *testing.T) {
	g := start(t, routes(
		joinRoute("join", "u:{user}:*", "lobby"),
		joinRoute("mine", "u:{user}:*"),
		joinRoute("echo", "{args.1}"),
	), Options{}, node.Config{})
	p := g.enter(t, "/", nil)
	p.code(Forbidden, "join", "u::x")
	p.answers(`{"rooms":["lobby"]}`, "join", "lobby")
	p.code(Forbidden, "mine", "u::x")
	p.code(BadRequest, "echo", "a")
}
