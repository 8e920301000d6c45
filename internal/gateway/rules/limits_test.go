package rules

import (
	"context"
	"encoding/json"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fanwire/fanwire/internal/gateway/command"
	"github.com/fanwire/fanwire/internal/gateway/config"
	"github.com/fanwire/fanwire/internal/gateway/identity"
	"github.com/fanwire/fanwire/internal/gateway/webhook"
	"github.com/fanwire/fanwire/node"
)

// What the gateway puts in.
var (
	_ Verifier           = (*identity.Verifier)(nil)
	_ Sentry             = (*identity.Sentry)(nil)
	_ Hook               = (*webhook.Hook)(nil)
	_ command.Namespaces = (*Rules)(nil)
)

// The rate of a route is that of one client, and of this route alone.
func TestRate(t *testing.T) {
	limited := relayTo("say", config.Relay{})
	limited.Rate, limited.Burst = 0.001, 3
	one := relayTo("one", config.Relay{})
	one.Rate = 0.001 // a burst of one
	s := routes(limited, one, relayTo("free", config.Relay{}))
	g := start(t, s, Options{}, node.Config{})
	a, b := g.enter(t, "/", nil), g.enter(t, "/", nil)
	for range 3 {
		a.answers(`{"ok":true}`, "say")
	}
	a.code(Rate, "say")
	a.emit("say")
	a.answers(`{"ok":true}`, "one")
	a.code(Rate, "one")
	a.answers(`{"ok":true}`, "free")
	b.answers(`{"ok":true}`, "say")
	if st := g.Stats(); st.Refused[Rate] != 3 || st.LimitedSockets != 2 {
		t.Errorf("%+v", st)
	}
	g.reload(t, s)
	a.answers(`{"ok":true}`, "say") // anew
	a.Disconnect()
	b.Disconnect()
	eventually(t, "forgotten", func() bool { return g.Stats().LimitedSockets == 0 })
}

// The size of an event is that of its arguments with all attachments.
func TestMaxSize(t *testing.T) {
	small := relayTo("say", config.Relay{})
	small.MaxSize = 100
	g := start(t, routes(small, relayTo("big", config.Relay{})), Options{}, node.Config{})
	p := g.enter(t, "/", nil)
	p.answers(`{"ok":true}`, "say", strings.Repeat("x", 98))
	p.code(TooLarge, "say", strings.Repeat("x", 99))
	p.code(TooLarge, "say", make([]byte, 80))
	p.answers(`{"ok":true}`, "big", strings.Repeat("x", 10_000))
}

// sentry is one that the test makes decide.
type sentry struct {
	mu        sync.Mutex
	watched   map[*node.Socket]bool
	refreshed []string
	ended     map[string]bool // users whose token is not good any more
}

func (w *sentry) Watch(s *node.Socket) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watched[s] = true
}

func (w *sentry) Forget(s *node.Socket) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.watched, s)
}

func (w *sentry) Refresh(_ context.Context, _ *node.Socket, token string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refreshed = append(w.refreshed, token); token != "new" {
		return identity.ErrExpired
	}
	return nil
}

func (w *sentry) Readmit(_ context.Context, s *node.Socket) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c, _ := node.Data[identity.Client](s); w.ended[c.User] {
		return identity.ErrExpired
	}
	return nil
}

func (w *sentry) len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.watched)
}

// A client brings a new token by an event of our own, whatever the routes are.
func TestRefresh(t *testing.T) {
	w := &sentry{watched: map[*node.Socket]bool{}}
	g := start(t, routes(relayTo("*", config.Relay{Self: true})), Options{Sentry: w}, node.Config{})
	p := g.enter(t, "/", nil)
	eventually(t, "watched", func() bool { return w.len() == 1 })
	m := g.member(g.socket(t, "/", p))
	later := func() { m.auth.last = time.Now().Add(time.Hour) } // no token comes back, however long this takes
	later()
	p.answers(`{"ok":true}`, identity.AuthEvent, "new")
	later()
	p.code("token expired", identity.AuthEvent, "old")
	for _, bad := range []any{nil, 1, "", map[string]string{"token": "new"}, []string{"new"}} {
		later()
		if got := p.ask(identity.AuthEvent, bad); strings.Contains(got, `"ok"`) || strings.Contains(got, `"new`) {
			t.Errorf("%v: %s", bad, got)
		}
	}
	for range 5 {
		later()
		p.code(Rate, identity.AuthEvent, "new")
	}
	p.hearsNothing(g.srv.Of("/"))
	if st := g.Stats(); st.Refreshed != 1 || st.RefreshFailed < 1 || st.Relayed != 0 {
		t.Errorf("%+v", st)
	}
	p.Disconnect()
	eventually(t, "forgotten", func() bool { return w.len() == 0 })
}

// A Redis that takes connections and never answers costs events their time, once;
// nobody waits for it longer than that, and others not at all.
func TestStreamHangs(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	g := start(t, routes(streamRoute("s", "events", 0), relayTo("say", config.Relay{})), Options{Redis: redisClient(t, silent.Addr().String())}, node.Config{})
	a, b := g.enter(t, "/", nil), g.enter(t, "/", nil)
	begin := time.Now()
	for range 3 * maxBeside { // more than may be on their way
		a.emit("s")
	}
	b.answers(`{"ok":true}`, "say", 1)
	if took := time.Since(begin); took > streamTimeout {
		t.Errorf("another client waited for %v", took)
	}
	a.code(Unavailable, "s")
	if took := time.Since(begin); took > 3*streamTimeout {
		t.Errorf("took %v", took)
	}
	eventually(t, "refused", func() bool { return g.Stats().Refused[Unavailable] == 3*maxBeside+1 })
}

// Whatever a client sends, an event is relayed or refused, and what the rules make of
// it are rooms that may be.
func FuzzEvent(f *testing.F) {
	set := one(config.Namespace{Routes: []config.Route{
		relayTo("relay", config.Relay{To: []string{"r-{args.0.a}", "{args.1}"}, Event: "e-{args.2}"}),
		joinRoute("join", "r-*", "{args.1}-*"),
		leaveRoute("leave", "*"),
		{Events: []string{"*"}, Join: &config.RoomRule{Rooms: []string{"{event}*"}}, MaxSize: 100},
	}})
	g := start(f, set, Options{}, node.Config{})
	p := g.enter(f, "/", nil)
	s, ok := g.srv.Socket(p.ID())
	if !ok {
		f.Fatal("no socket")
	}
	for _, seed := range []string{`{"a":"x"},"b","c"`, `["r-1","r-2"]`, `"r-1","r"`, ``, `null`, `"\u0000"`, `"\ud800"`, `{"a":{}},[]`, `["r-1",{}]`} {
		for _, event := range []string{"relay", "join", "leave", "x"} {
			f.Add(event, []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, event string, raw []byte) {
		args, err := node.RawArgs(raw, nil)
		if err != nil || event == "" {
			return
		}
		before := g.Stats()
		if err := g.event(context.Background(), s, node.Event{Name: event, Args: args}, noNext); err != nil {
			t.Fatal(err)
		}
		for _, room := range s.Rooms() {
			if !g.table.Load().validRoom(room) || room != s.ID() && mayBeID(room) {
				t.Fatalf("%s %s: is in %q", event, raw, room)
			}
		}
		if !s.InRoom(s.ID()) {
			t.Fatal("is not in its own room")
		}
		after := g.Stats()
		if n := outcomes(after) - outcomes(before); n != 1 {
			t.Fatalf("%s %s: %d outcomes", event, raw, n)
		}
		s.Leave(s.Rooms()[1:]...)
	})
}

func outcomes(st Stats) uint64 {
	n := st.Relayed + st.Joined + st.Left + st.Ignored + st.Unmatched
	for _, refused := range st.Refused {
		n += refused
	}
	return n
}

// The ack of a refusal is what the documentation says.
func TestRefusalJSON(t *testing.T) {
	got, err := json.Marshal(refuse(TooLarge, "why"))
	if err != nil || string(got) != `{"error":"too large","message":"why"}` {
		t.Errorf("%s %v", got, err)
	}
}
