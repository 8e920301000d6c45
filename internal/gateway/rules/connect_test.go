package rules

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fanwire/fanwire/internal/gateway/config"
	"github.com/fanwire/fanwire/internal/gateway/identity"
	"github.com/fanwire/fanwire/internal/gateway/webhook"
	"github.com/fanwire/fanwire/node"
)

// data returns what is known of a client.
func (g *gateway) data(t testing.TB, ns string, p *guest) identity.Client {
	t.Helper()
	c, ok := node.Data[identity.Client](g.socket(t, ns, p))
	if !ok {
		t.Fatal("the data is no Client")
	}
	return c
}

// Every combination of ways in, with a token that is valid, one that is not, and none.
func TestWaysIn(t *testing.T) {
	asked := make(chan webhook.Request, 100)
	decide := hook(func(_ context.Context, req webhook.Request) (webhook.Response, error) {
		asked <- req
		return webhook.Response{}, nil
	})
	const in = "in"
	const missing, invalid = `token missing {"code":"token missing"}`, `token invalid {"code":"token invalid"}`
	for _, tt := range []struct {
		auth            []string
		none, good, bad string
		asks            int
		userOfGood      string
	}{
		{nil, in, in, in, 0, ""},
		{[]string{"anonymous"}, in, in, in, 0, ""},
		{[]string{"jwt"}, missing, in, invalid, 0, "ann"},
		{[]string{"webhook"}, in, in, in, 3, ""},
		{[]string{"anonymous", "jwt"}, in, in, invalid, 0, "ann"},
		{[]string{"anonymous", "webhook"}, in, in, in, 3, ""},
		{[]string{"jwt", "webhook"}, in, in, invalid, 2, "ann"},
		{[]string{"anonymous", "jwt", "webhook"}, in, in, invalid, 2, "ann"},
	} {
		t.Run(strings.Join(tt.auth, "+"), func(t *testing.T) {
			s := one(config.Namespace{Name: "/x", Auth: tt.auth, Webhook: "w"})
			s.Hooks = map[string]Hook{"w": decide}
			g := start(t, s, Options{Verifier: verifier{"good": {Client: identity.Client{User: "ann"}}}}, node.Config{})
			for _, try := range []struct {
				auth any
				want string
			}{{nil, tt.none}, {tokenOf(""), tt.none}, {map[string]any{"token": nil}, tt.none}, {tokenOf("good"), tt.good}, {tokenOf("bad"), tt.bad}} {
				p, err := g.dial(t, "/x", try.auth)
				if try.want == in {
					if err != nil {
						t.Errorf("%v: %v", try.auth, err)
					} else if user := g.data(t, "/x", p).User; try.auth != nil && tokenOf("good")["token"] == try.auth.(map[string]any)["token"] && user != tt.userOfGood {
						t.Errorf("user is %q", user)
					}
				} else if got := g.refused(t, "/x", try.auth); got != try.want {
					t.Errorf("%v: %s, want %s", try.auth, got, try.want)
				}
			}
			want := tt.asks // of none, good and bad; "" and null are none as well
			if want > 0 {
				want += 2
			}
			if n := len(asked); n != want {
				t.Errorf("asked %d times, want %d", n, want)
			}
			for len(asked) > 0 {
				<-asked
			}
		})
	}
}

// What a token gives is the client's: data, rooms, namespaces, its end.
func TestToken(t *testing.T) {
	s := Settings{Namespaces: []config.Namespace{
		{Name: "/t/{id}", Auth: []string{"jwt"}, Join: []string{"all", "u:{user}", "t:{path.id}", "org:{claims.org.id}", "team:{data.team}"}},
	}}
	g := start(t, s, Options{Verifier: verifier{
		"ann": {
			Client:     identity.Client{User: "ann", Claims: json.RawMessage(`{"org":{"id":42},"sub":"ann"}`), Expires: time.Now().Add(time.Hour)},
			Rooms:      []string{"g1", "g2", "g1"},
			Namespaces: []string{"/t/7", "/x/*"},
		},
		"old":  {Client: identity.Client{User: "ann", Expires: time.Now().Add(-time.Hour)}},
		"much": {Rooms: make([]string, defaultRooms+1)},
		"bare": {Rooms: []string{""}},
		"long": {Rooms: []string{strings.Repeat("x", nodeRoomName+1)}},
		"user": {Client: identity.Client{User: strings.Repeat("x", nodeRoomName)}},
	}}, node.Config{})
	p := g.enter(t, "/t/7", tokenOf("ann"))
	g.isIn(t, "/t/7", p, "all", "g1", "g2", "org:42", "t:7", "u:ann")
	if c := g.data(t, "/t/7", p); c.User != "ann" || c.Expires.IsZero() || string(c.Claims) == "" {
		t.Errorf("%+v", c)
	}
	for token, want := range map[string]string{
		"old":  `token expired {"code":"token expired"}`,
		"much": `too many rooms {"code":"forbidden"}`,
		"bare": `the name of a room is empty, too long, or has a NUL {"code":"forbidden"}`,
		"long": `the name of a room is empty, too long, or has a NUL {"code":"forbidden"}`,
		"user": `the name of a room is empty, too long, or has a NUL {"code":"forbidden"}`,
	} {
		if got := g.refused(t, "/t/7", tokenOf(token)); got != want {
			t.Errorf("%s: %s", token, got)
		}
	}
	if got := g.refused(t, "/t/8", tokenOf("ann")); got != `the token is not for this namespace {"code":"forbidden"}` {
		t.Error(got)
	}
	for _, bad := range []any{map[string]any{"token": 1}, map[string]any{"token": map[string]any{}}} {
		if got := g.refused(t, "/t/7", bad); got != `token invalid {"code":"token invalid"}` {
			t.Error(got)
		}
	}
	if _, ok := g.srv.Lookup("/t/8"); ok {
		t.Error("a refused client has left a namespace")
	}
}

// The webhook has the last word, and without one nobody is in.
func TestConnectHook(t *testing.T) {
	var got webhook.Request
	var resp webhook.Response
	var fail error
	s := one(config.Namespace{Auth: []string{"jwt", "webhook"}, Webhook: "w", Join: []string{"u:{user}", "d:{data.team}"}})
	s.Hooks = map[string]Hook{"w": hook(func(ctx context.Context, req webhook.Request) (webhook.Response, error) {
		got = req
		if _, ok := ctx.Deadline(); !ok {
			t.Error("no deadline")
		}
		return resp, fail
	})}
	expires := time.Now().Add(time.Minute)
	g := start(t, s, Options{Verifier: verifier{"ann": {
		Client: identity.Client{User: "ann", MayJoin: []string{"a"}, Expires: time.Now().Add(time.Hour)},
		Rooms:  []string{"of-token"},
	}}}, node.Config{})

	resp = webhook.Response{User: "bob", Data: json.RawMessage(`{"team":"red"}`), Rooms: []string{"of-hook"}, MaySend: []string{"x"}, Expires: expires}
	p := g.enter(t, "/", map[string]any{"token": "ann", "more": 1})
	g.isIn(t, "/", p, "d:red", "of-hook", "of-token", "u:bob")
	if c := g.data(t, "/", p); c.User != "bob" || string(c.Data) != `{"team":"red"}` || c.MayJoin[0] != "a" || c.MaySend[0] != "x" || !c.Expires.Equal(expires) {
		t.Errorf("%+v", c)
	}
	if got.Type != webhook.Connect || got.User != "ann" || got.Namespace != "/" || len(got.Socket) != 20 || got.Node != g.srv.NodeID() ||
		got.Handshake == nil || got.Handshake.Address != "127.0.0.1" || !strings.Contains(string(got.Handshake.Auth), `"more":1`) || len(got.Handshake.Header) == 0 {
		t.Errorf("%+v", got)
	}
	for _, tt := range []struct {
		resp webhook.Response
		err  error
		want string
	}{
		{webhook.Response{Refuse: &webhook.Refusal{Message: "go away", Data: json.RawMessage(`{"why":["x"]}`)}}, nil, `go away {"why":["x"]}`},
		{webhook.Response{Refuse: &webhook.Refusal{Message: "no"}}, nil, `no `},
		{webhook.Response{}, &webhook.StatusError{Code: 403}, `the backend refuses the client {"code":"forbidden"}`},
		{webhook.Response{}, &webhook.StatusError{Code: 500}, `the backend is not available {"code":"unavailable"}`},
		{webhook.Response{}, webhook.ErrOpen, `the backend is not available {"code":"unavailable"}`},
		{webhook.Response{}, errors.New("dial tcp 10.0.0.1:443"), `the backend is not available {"code":"unavailable"}`},
		{webhook.Response{Rooms: []string{"a\x00"}}, nil, `the name of a room is empty, too long, or has a NUL {"code":"forbidden"}`},
	} {
		resp, fail = tt.resp, tt.err
		if got := g.refused(t, "/", tokenOf("ann")); got != tt.want {
			t.Errorf("%s, want %s", got, tt.want)
		}
	}
}

// A webhook that does not answer in time refuses the client; it holds up no other.
func TestConnectTimeout(t *testing.T) {
	s := Settings{Namespaces: []config.Namespace{{Name: "/slow", Auth: []string{"webhook"}, Webhook: "w"}, {Name: "/quick"}}}
	s.Hooks = map[string]Hook{"w": hook(func(ctx context.Context, _ webhook.Request) (webhook.Response, error) {
		<-ctx.Done()
		return webhook.Response{}, context.Cause(ctx)
	})}
	g := start(t, s, Options{ConnectTimeout: 300 * time.Millisecond}, node.Config{})
	p := g.enter(t, "/quick", nil)
	slow := p.Client().Of("/slow")
	done := make(chan error, 1)
	go func() { done <- slow.Connect(context.Background()) }()
	g.enter(t, "/quick", nil)
	if err := <-done; err == nil || !strings.HasSuffix(err.Error(), "the backend is not available") {
		t.Error(err)
	}
}

// Only what is configured is there, also "/".
func TestUnknownNamespace(t *testing.T) {
	g := start(t, Settings{Namespaces: []config.Namespace{{Name: "/a"}, {Name: "/t/{id}"}, {Name: "/r/{rest...}"}}}, Options{}, node.Config{})
	for _, name := range []string{"/", "/b", "/t", "/t/", "/t/1/2", "/A", "/a/", "/r"} {
		if got := g.refused(t, name, nil); got != "Invalid namespace " {
			t.Errorf("%s: %q", name, got)
		}
	}
	for _, name := range []string{"/a", "/t/1", "/t/{id}", "/r/1", "/r/1/2"} {
		g.enter(t, name, nil)
	}
}

// A client that continues has its rooms and data, unless what it was given was taken
// back meanwhile.
func TestRecovered(t *testing.T) {
	var revoked atomic.Bool
	s := one(config.Namespace{Auth: []string{"jwt"}, Join: []string{"u:{user}"}, Routes: []config.Route{joinRoute("join", "r*")}})
	g := start(t, s, Options{
		Verifier: verifier{"ann": {Client: identity.Client{User: "ann"}}, "bob": {Client: identity.Client{User: "bob"}}},
		Revoked:  func(c identity.Client) bool { return revoked.Load() && c.User == "ann" },
	}, node.Config{Recovery: &node.Recovery{RunMiddlewares: true}})
	ann := g.enter(t, "/", tokenOf("ann"))
	ann.answers(`{"rooms":["r1"]}`, "join", "r1")
	id := ann.ID()
	if err := g.srv.To("r1").Emit(t.Context(), "mark"); err != nil { // an offset to come back with
		t.Fatal(err)
	}
	<-ann.heard
	ann.Client().Drop()
	<-ann.gone
	if err := ann.Connect(t.Context()); err != nil || !ann.Recovered() || ann.ID() != id {
		t.Fatal("not recovered", err)
	}
	g.isIn(t, "/", ann, "r1", "u:ann")
	if c := g.data(t, "/", ann); c.User != "ann" {
		t.Errorf("%+v", c)
	}
	ann.Client().Drop()
	<-ann.gone
	revoked.Store(true)
	if err := ann.Connect(t.Context()); err == nil || !strings.HasSuffix(err.Error(), "token revoked") {
		t.Error(err)
	}
}

// In a namespace with tokens the sentry decides on who comes back: who may not continue
// is a new client.
func TestRecoveredAnew(t *testing.T) {
	w := &sentry{watched: map[*node.Socket]bool{}, ended: map[string]bool{}}
	s := one(config.Namespace{Auth: []string{"jwt"}, Join: []string{"u:{user}"}, Routes: []config.Route{joinRoute("join", "r*")}})
	g := start(t, s, Options{Verifier: verifier{"ann": {Client: identity.Client{User: "ann"}}}, Sentry: w},
		node.Config{Recovery: &node.Recovery{RunMiddlewares: true}})
	p := g.enter(t, "/", tokenOf("ann"))
	p.answers(`{"rooms":["r1"]}`, "join", "r1")
	if err := g.srv.To("r1").Emit(t.Context(), "mark"); err != nil { // an offset to come back with
		t.Fatal(err)
	}
	<-p.heard
	for _, again := range []bool{true, false} {
		w.mu.Lock()
		w.ended["ann"] = !again
		w.mu.Unlock()
		p.Client().Drop()
		<-p.gone
		if err := p.Connect(t.Context()); err != nil || p.Recovered() != again {
			t.Fatalf("recovered: %v, %v", p.Recovered(), err)
		}
	}
	g.isIn(t, "/", p, "u:ann")
}

// A user of whom only a webhook tells is kept out too.
func TestRevokedUserOfAWebhook(t *testing.T) {
	h := hook(func(context.Context, webhook.Request) (webhook.Response, error) {
		return webhook.Response{User: "eve"}, nil
	})
	s := one(config.Namespace{Auth: []string{"webhook"}, Webhook: "h"})
	s.Hooks = map[string]Hook{"h": h}
	g := start(t, s, Options{Revoked: func(c identity.Client) bool { return c.User == "eve" }}, node.Config{})
	if got := g.refused(t, "/", nil); !strings.Contains(got, "token revoked") {
		t.Error(got)
	}
}
