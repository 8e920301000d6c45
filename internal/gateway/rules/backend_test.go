package rules

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fanwire/fanwire/internal/gateway/command"
	"github.com/fanwire/fanwire/internal/gateway/config"
	"github.com/fanwire/fanwire/internal/gateway/identity"
	"github.com/fanwire/fanwire/internal/gateway/webhook"
	"github.com/fanwire/fanwire/node"
)

func hookRoute(event string) config.Route { return config.Route{Events: []string{event}, Webhook: "w"} }

func withHook(s Settings, h hook) Settings {
	s.Hooks = map[string]Hook{"w": h}
	return s
}

func argsOf(t testing.TB, values ...any) command.Args {
	t.Helper()
	a, err := node.NewArgs(values...)
	if err != nil {
		t.Fatal(err)
	}
	return command.Args{Args: a}
}

// An event goes to the backend as it is; the answer brings actions, then the ack.
func TestHookEvent(t *testing.T) {
	got := make(chan webhook.Request, 10)
	ack := argsOf(t, "fine", []byte("bin"))
	s := withHook(one(config.Namespace{Name: "/t/{id}", Auth: []string{"jwt"}, Routes: []config.Route{hookRoute("do")}}), func(_ context.Context, req webhook.Request) (webhook.Response, error) {
		got <- req
		resp := webhook.Response{Actions: []command.Command{
			{Kind: command.Join, Rooms: []string{"r1"}},
			{Kind: command.Emit, Event: "you", Args: argsOf(t, 1)},
			{Kind: command.Emit, Namespace: "/nowhere", To: []string{"x"}, Event: "lost"}, // fails, and stops nothing
			{Kind: command.SetData, Data: json.RawMessage(`{"level":2}`)},
			{Kind: command.Emit, To: []string{"r1"}, Event: "room"},
			{Kind: command.Emit, Namespace: "/t/2", All: true, Event: "there"},
		}}
		if req.WantsAck {
			resp.Ack = &ack
		}
		return resp, nil
	})
	g := start(t, s, Options{Verifier: verifier{"ann": {Client: identity.Client{User: "ann", Data: json.RawMessage(`{"level":1}`)}}}}, node.Config{})
	p, other := g.enter(t, "/t/1", tokenOf("ann")), g.enter(t, "/t/2", tokenOf("ann"))
	p.answers(`"fine",{"_placeholder":true,"num":0}`, "do", map[string]any{"a": 1}, []byte{1, 2})
	p.hears(`["you",1]`, `["room"]`)
	other.hears(`["there"]`)
	req := <-got
	var args strings.Builder
	_ = json.NewEncoder(&args).Encode(req.Args)
	if req.Type != webhook.Event || req.Namespace != "/t/1" || req.Socket != p.ID() || req.User != "ann" || req.Event != "do" || !req.WantsAck ||
		string(req.Data) != `{"level":1}` || args.String() != `[{"a":1},{"$binary":"AQI="}]`+"\n" || req.Time.IsZero() {
		t.Errorf("%+v %s", req, args.String())
	}
	g.isIn(t, "/t/1", p, "r1")
	if c := g.data(t, "/t/1", p); string(c.Data) != `{"level":2}` || c.User != "ann" {
		t.Errorf("%+v", c)
	}
	p.emit("do")
	if req := <-got; req.WantsAck || string(req.Data) != `{"level":2}` {
		t.Errorf("%+v", req)
	}
	eventually(t, "counted", func() bool { return g.Stats().HookOK == 2 && g.Stats().ActionsFailed == 2 })
}

// A backend that says no, or nothing, is an answer too.
func TestHookErrors(t *testing.T) {
	var fail error
	s := withHook(routes(hookRoute("do")), func(context.Context, webhook.Request) (webhook.Response, error) {
		return webhook.Response{}, fail
	})
	g := start(t, s, Options{}, node.Config{})
	p := g.enter(t, "/", nil)
	p.answers(``, "do")
	for _, tt := range []struct {
		err  error
		want Code
	}{
		{&webhook.StatusError{Code: 422}, Forbidden},
		{&webhook.StatusError{Code: 429}, Unavailable},
		{&webhook.StatusError{Code: 500}, Unavailable},
		{fmt.Errorf("webhook w: %w", webhook.ErrOpen), Unavailable},
		{webhook.ErrBusy, Unavailable},
		{webhook.ErrTimeout, Unavailable},
		{errors.New("secret.internal:443: refused"), Unavailable},
	} {
		fail = tt.err
		p.code(tt.want, "do")
		if got := p.ask("do"); strings.Contains(got, "secret") || strings.Contains(got, "webhook") {
			t.Error(got)
		}
	}
	if st := g.Stats(); st.HookFailed != 14 || st.Refused[Unavailable] != 12 || st.Refused[Forbidden] != 2 {
		t.Errorf("%+v", st)
	}
}

// slowHook answers when it is told to.
type slowHook struct {
	began   chan string // names of events, and their first argument
	release chan struct{}
}

func newSlowHook() *slowHook {
	return &slowHook{make(chan string, 1000), make(chan struct{}, 1000)}
}

func (h *slowHook) Call(ctx context.Context, req webhook.Request) (webhook.Response, error) {
	h.began <- req.Event + string(req.Args.JSON())
	select {
	case <-h.release:
		return webhook.Response{}, nil
	case <-ctx.Done():
		return webhook.Response{}, context.Cause(ctx)
	}
}

func (h *slowHook) starts(t *testing.T, want ...string) {
	t.Helper()
	for range want {
		select {
		case got := <-h.began:
			if i := slices.Index(want, got); i < 0 {
				t.Errorf("%s has begun", got)
			} else {
				want[i] = ""
			}
		case <-time.After(patience):
			t.Fatalf("not begun: %v", want)
		}
	}
}

// A slow backend holds up the events of its client, in their order, and nobody else;
// a concurrent route holds up nothing.
func TestSlowBackend(t *testing.T) {
	h := newSlowHook()
	beside := hookRoute("beside")
	beside.Concurrent = true
	s := routes(hookRoute("do"), beside, relayTo("say", config.Relay{}))
	s.Hooks = map[string]Hook{"w": h}
	g := start(t, s, Options{}, node.Config{})
	a, b := g.enter(t, "/", nil), g.enter(t, "/", nil)
	a.emit("do", 1)
	a.emit("do", 2)
	a.emit("say", 3)
	h.starts(t, "do1")
	b.answers(`{"ok":true}`, "say", "b")
	a.hears(`["say","b"]`)
	h.release <- struct{}{}
	h.starts(t, "do2") // only now
	h.release <- struct{}{}
	b.hears(`["say",3]`)
	a.emit("beside", 1)
	a.emit("beside", 2)
	h.starts(t, "beside1", "beside2")
	a.answers(`{"ok":true}`, "say", 4) // past both
	b.hears(`["say",4]`)
	h.release <- struct{}{}
	h.release <- struct{}{}
	eventually(t, "answered", func() bool { return g.Stats().HookOK == 4 })
}

// Beside others are no more than some events of a client: then it waits, alone.
func TestManyBeside(t *testing.T) {
	h := newSlowHook()
	beside := hookRoute("beside")
	beside.Concurrent = true
	s := routes(beside, relayTo("say", config.Relay{}))
	s.Hooks = map[string]Hook{"w": h}
	g := start(t, s, Options{}, node.Config{})
	a, b := g.enter(t, "/", nil), g.enter(t, "/", nil)
	for range maxBeside + 10 {
		a.emit("beside")
	}
	a.emit("say", "after")
	eventually(t, "begun", func() bool { return len(h.began) == maxBeside })
	b.answers(`{"ok":true}`, "say", "b")
	a.hears(`["say","b"]`)
	if n := len(h.began); n != maxBeside {
		t.Errorf("%d have begun", n)
	}
	for range maxBeside + 10 {
		h.release <- struct{}{}
	}
	b.hears(`["say","after"]`)
	eventually(t, "answered", func() bool { return g.Stats().HookOK == maxBeside+10 })
	eventually(t, "forgotten", func() bool {
		a.Disconnect()
		return g.Stats().LimitedSockets == 0
	})
}

// What a client has sent before it left, or was lost, is still told to the backend.
func TestHookAfterLeaving(t *testing.T) {
	for name, leave := range map[string]func(p *guest){
		"disconnect": func(p *guest) { p.Disconnect() },
		"lost":       func(p *guest) { p.Client().Drop() },
	} {
		t.Run(name, func(t *testing.T) {
			h := newSlowHook()
			s := routes(hookRoute("do"))
			s.Hooks = map[string]Hook{"w": h}
			g := start(t, s, Options{}, node.Config{})
			a := g.enter(t, "/", nil)
			sock, _ := g.srv.Socket(a.ID())
			a.emit("do", 1)
			a.emit("do", 2)
			h.starts(t, "do1")
			eventually(t, "both are here", func() bool { return g.srv.Stats().EventsIn == 2 })
			leave(a)
			eventually(t, "gone", func() bool { return !sock.Connected() })
			h.release <- struct{}{}
			h.starts(t, "do2")
			h.release <- struct{}{}
			eventually(t, "answered", func() bool { return g.Stats().HookOK == 2 && g.Stats().HookFailed == 0 })
		})
	}
}

// A panic beside the events costs the client its session, and counts.
func TestPanicBeside(t *testing.T) {
	beside := hookRoute("beside")
	beside.Concurrent = true
	s := withHook(routes(beside), func(context.Context, webhook.Request) (webhook.Response, error) { panic("at the hook") })
	g := start(t, s, Options{}, node.Config{})
	a, b := g.enter(t, "/", nil), g.enter(t, "/", nil)
	a.emit("beside")
	<-a.gone
	if !b.Connected() || g.Stats().Panics != 1 {
		t.Error("not counted, or the others are gone")
	}
}

// Backends hear of clients that come and go, in this order for each client, and their
// answers are followed.
func TestNotifications(t *testing.T) {
	got := make(chan webhook.Request, 1000)
	s := withHook(one(config.Namespace{Webhook: "w", Notify: []string{"connected", "disconnected"}, Routes: []config.Route{joinRoute("join", "*")}}), func(_ context.Context, req webhook.Request) (webhook.Response, error) {
		got <- req
		if req.Type == webhook.Connected {
			return webhook.Response{Actions: []command.Command{{Kind: command.Emit, Event: "welcome"}}}, nil
		}
		return webhook.Response{Actions: []command.Command{{Kind: command.Emit, To: []string{"stay"}, Event: "left"}}}, nil
	})
	g := start(t, s, Options{}, node.Config{})
	const clients = 20
	stay := g.enter(t, "/", nil)
	stay.hears(`["welcome"]`)
	stay.answers(`{"rooms":["stay"]}`, "join", "stay")
	<-got
	for range clients {
		p := g.enter(t, "/", nil)
		p.hears(`["welcome"]`)
		p.Disconnect()
	}
	seen := map[string][]webhook.Type{}
	for range 2 * clients {
		req := <-got
		seen[req.Socket] = append(seen[req.Socket], req.Type)
		if req.Type == webhook.Disconnected && req.Reason != "client namespace disconnect" {
			t.Error(req.Reason)
		}
	}
	for id, types := range seen {
		if !slices.Equal(types, []webhook.Type{webhook.Connected, webhook.Disconnected}) {
			t.Error(id, types)
		}
	}
	for range clients {
		stay.hears(`["left"]`)
	}
	eventually(t, "counted", func() bool { return g.Stats().Notified == 2*clients+1 && g.Stats().NotifyWaiting == 0 })
}

// A dead backend costs notifications, not clients.
func TestNotificationsDropped(t *testing.T) {
	var calls atomic.Int64
	hold := make(chan struct{})
	s := withHook(one(config.Namespace{Webhook: "w", Notify: []string{"disconnected"}}), func(ctx context.Context, _ webhook.Request) (webhook.Response, error) {
		calls.Add(1)
		select {
		case <-hold:
		case <-ctx.Done():
		}
		return webhook.Response{}, webhook.ErrTimeout
	})
	g := start(t, s, Options{}, node.Config{})
	sp := g.table.Load().find("/")
	p := g.enter(t, "/", nil)
	sock, _ := g.srv.Socket(p.ID())
	const more = 50
	for range notifyMax + 1 + more {
		g.notify.add(sp, nil, g.request(webhook.Disconnected, sock, &identity.Client{}))
	}
	eventually(t, "called", func() bool { return calls.Load() == 1 })
	if st := g.Stats(); st.NotifyDropped < more || st.NotifyDropped > more+1 || st.NotifyWaiting < notifyMax-1 {
		t.Errorf("%+v", st)
	}
	close(hold)
	eventually(t, "told", func() bool { return g.Stats().NotifyWaiting == 0 && g.Stats().NotifyFailed >= notifyMax })
	if !p.Connected() {
		t.Error("the client is gone")
	}
}
