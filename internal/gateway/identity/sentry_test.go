package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/fanwire/fanwire/client"
	"github.com/fanwire/fanwire/node"
)

// gate is a server whose namespaces "/" and "/chat" let clients in by token, as the
// gateway does, or without one.
type gate struct {
	t      testing.TB
	srv    *node.Server
	http   *httptest.Server
	clock  *clock
	v      *Verifier
	revs   *Revocations
	sentry *Sentry
	causes chan error // of the sockets that ended
}

func newGate(t testing.TB, clock *clock, revs *Revocations, recovery *node.Recovery) *gate {
	t.Helper()
	srv, err := node.New(node.Config{Logger: slog.New(slog.DiscardHandler), Recovery: recovery})
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{t: t, srv: srv, clock: clock, revs: revs, causes: make(chan error, 100)}
	g.v = newVerifier(t, secretConfig(), Options{Revocations: revs, Now: clock.now})
	g.sentry = NewSentry(srv, g.v)
	for _, name := range []string{"/", "/chat"} {
		g.guard(srv.Of(name))
	}
	g.sentry.Start()
	g.http = httptest.NewServer(srv)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		g.http.Close()
		g.sentry.Close()
		if n := g.sentry.Len(); n != 0 {
			t.Errorf("%d sockets are still watched", n)
		}
	})
	return g
}

func (g *gate) guard(ns *node.Namespace) {
	ns.Use(func(next node.ConnectFunc) node.ConnectFunc {
		return func(ctx context.Context, s *node.Socket) error {
			if err := g.admit(ctx, s); errors.Is(err, node.ErrBeginAnew) {
				return err
			} else if err != nil {
				return &node.ConnectError{Message: string(CodeOf(err))}
			}
			return next(ctx, s)
		}
	})
	ns.OnConnect(func(_ context.Context, s *node.Socket) error {
		g.sentry.Watch(s)
		return nil
	})
	ns.OnDisconnect(func(_ context.Context, s *node.Socket, d node.Disconnect) {
		g.sentry.Forget(s)
		select {
		case g.causes <- d.Cause:
		default:
		}
	})
	node.Handle(ns, AuthEvent, func(ctx context.Context, s *node.Socket, token string) (string, error) {
		if err := g.sentry.Refresh(ctx, s, token); err != nil {
			return string(CodeOf(err)), nil
		}
		return "ok", nil
	})
}

func (g *gate) admit(ctx context.Context, s *node.Socket) error {
	if s.Recovered() {
		if err := g.sentry.Readmit(ctx, s); err != nil {
			return fmt.Errorf("%w: %w", node.ErrBeginAnew, err)
		}
		return nil
	}
	token, err := Token(s)
	if CodeOf(err) == Missing && err != nil {
		var auth struct{ User string } // as if a webhook had said so
		_ = s.Auth(&auth)
		c := Client{User: auth.User}
		if g.revs != nil && g.revs.Revoked(c) {
			return ErrRevoked
		}
		s.SetData(c)
		return nil
	} else if err != nil {
		return err
	}
	grant, err := g.v.Verify(ctx, token)
	if err == nil {
		s.SetData(grant.Client)
	}
	return err
}

// guest is a client of a gate.
type guest struct {
	*client.Socket
	t      testing.TB
	ctx    context.Context
	ups    atomic.Int32
	ended  chan client.Disconnect
	refuse chan error
}

// enter connects a client, over one transport or "" for both.
func (g *gate) enter(ns string, auth any, transports ...string) *guest {
	g.t.Helper()
	c, err := client.New(g.http.URL, client.Options{
		Transports: transports, Logger: slog.New(slog.DiscardHandler),
		Reconnect: client.ReconnectOptions{Delay: 10 * time.Millisecond},
	})
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(c.Close)
	return g.join(c, ns, auth)
}

func (g *gate) join(c *client.Client, ns string, auth any) *guest {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	g.t.Cleanup(cancel)
	p := &guest{Socket: c.Of(ns), t: g.t, ctx: ctx, ended: make(chan client.Disconnect, 10), refuse: make(chan error, 10)}
	if f, ok := auth.(func(context.Context) (any, error)); ok {
		p.SetAuthFunc(f)
	} else if err := p.SetAuth(auth); err != nil {
		g.t.Fatal(err)
	}
	p.OnConnect(func(context.Context) { p.ups.Add(1) })
	p.OnDisconnect(func(_ context.Context, d client.Disconnect) { p.ended <- d })
	p.OnConnectError(func(_ context.Context, err error) {
		select {
		case p.refuse <- err:
		default:
		}
	})
	p.Open()
	eventually(g.t, "connected", func() bool { return p.ups.Load() == 1 || len(p.refuse) > 0 })
	return p
}

func (p *guest) refresh(token string) string {
	p.t.Helper()
	answer, err := client.Call[string](p.ctx, p.Socket, AuthEvent, token)
	if err != nil {
		p.t.Fatal(err)
	}
	return answer
}

// refused waits until the client is not let in.
func (p *guest) refused(code Code) {
	p.t.Helper()
	select {
	case err := <-p.refuse:
		var e *client.ConnectError
		if !errors.As(err, &e) || e.Message != string(code) {
			p.t.Errorf("got %v, want %q", err, code)
		}
	case <-time.After(patience):
		p.t.Errorf("not refused: %q", code)
	}
}

func (g *gate) cause(want error) {
	g.t.Helper()
	select {
	case got := <-g.causes:
		if !errors.Is(got, want) {
			g.t.Errorf("the cause is %v, want %v", got, want)
		}
	case <-time.After(patience):
		g.t.Fatalf("nobody was closed: %v", want)
	}
}

// look has the Sentry look at the clock, which it does each second by itself.
func (g *gate) look() { signal(g.sentry.wake) }

func auth(token string) any { return map[string]any{"token": token} }

func user(name string, life time.Duration, more string) string {
	return hs(`{"sub":"` + name + `","iat":` + at(0) + `,"exp":` + at(life) + more + `}`)
}

// A client stays until its token has expired and the grace is over, by the wall
// clock, wherever that is set. Then it is closed so that it comes back, with a new
// token.
func TestSentryClosesTheExpired(t *testing.T) {
	for _, transport := range []string{client.Polling, client.WebSocket} {
		t.Run(transport, func(t *testing.T) {
			g := newGate(t, newClock(), nil, nil)
			var life atomic.Int64
			life.Store(int64(time.Hour))
			p := g.enter("/", func(context.Context) (any, error) {
				return auth(user("ann", time.Duration(life.Load()), "")), nil
			}, transport)
			free := g.enter("/", nil, transport)
			g.clock.step(-2 * time.Hour) // a clock that goes back closes nobody
			g.look()
			g.clock.step(3*time.Hour + 24*time.Second) // nor does one in the grace
			g.look()
			if answer := p.refresh("x"); answer != string(Invalid) {
				t.Errorf("it answers %q", answer)
			}
			life.Store(int64(100 * time.Hour))
			g.clock.step(-2 * time.Hour)
			g.look() // it is a long time now
			if p.refresh("x"); len(p.ended) != 0 {
				t.Error("it was closed early")
			}
			g.clock.step(2*time.Hour + time.Second) // nobody tells the Sentry
			g.cause(ErrExpired)
			eventually(t, "it is there again", func() bool { return p.ups.Load() == 2 })
			if free.ups.Load() != 1 || len(free.ended) != 0 {
				t.Error("one without a token was closed")
			}
		})
	}
}

// Who comes back with the old token is told so, and stays away.
func TestSentryAndAnOldToken(t *testing.T) {
	g := newGate(t, newClock(), nil, nil)
	p := g.enter("/", auth(user("ann", time.Hour, "")))
	g.clock.step(2 * time.Hour)
	g.look()
	g.cause(ErrExpired)
	p.refused(Expired)
}

func TestRefresh(t *testing.T) {
	g := newGate(t, newClock(), nil, nil)
	p := g.enter("/", auth(user("ann", time.Hour, `,"jti":"1","may_join":["a"]`)))
	free := g.enter("/", nil)
	for name, c := range map[string]struct{ token, want string }{
		"another user":      {user("bob", 9*time.Hour, ""), string(Invalid)},
		"another namespace": {user("ann", 9*time.Hour, `,"namespaces":["/chat"]`), string(Invalid)},
		"expired":           {user("ann", -time.Hour, ""), string(Expired)},
		"none":              {"", string(Missing)},
		"a forged one":      {user("ann", time.Hour, "") + "A", string(Invalid)},
		"a good one":        {user("ann", 2*time.Hour, `,"jti":"2","may_send":["say"]`), "ok"},
	} {
		if got := p.refresh(c.token); got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got := free.refresh(user("ann", time.Hour, "")); got != string(Invalid) {
		t.Errorf("without a token before: %q", got)
	}
	s, _ := g.srv.Of("/").Socket(p.ID())
	c, _ := node.Data[Client](s)
	if c.TokenID != "2" || !c.Expires.Equal(start.Add(2*time.Hour)) || c.MayJoin != nil || len(c.MaySend) != 1 {
		t.Errorf("got %+v", c)
	}
	g.clock.step(time.Hour + time.Minute)
	g.look()
	if p.refresh("x"); len(p.ended) != 0 { // it is still there
		t.Error("it was closed")
	}
	g.clock.step(time.Hour)
	g.look()
	g.cause(ErrExpired)
}

// The new token counts in all namespaces in which the old one was used.
func TestRefreshOfPeers(t *testing.T) {
	g := newGate(t, newClock(), nil, nil)
	old := user("ann", time.Hour, "")
	p := g.enter("/", auth(old))
	same := g.join(p.Client(), "/chat", auth(old))
	other := g.enter("/chat", auth(old)) // another session
	if got := p.refresh(user("ann", 2*time.Hour, "")); got != "ok" {
		t.Fatal(got)
	}
	expires := func(p *guest) time.Time {
		s, _ := g.srv.Of("/chat").Socket(p.ID())
		c, _ := node.Data[Client](s)
		return c.Expires
	}
	if at := expires(same); !at.Equal(start.Add(2 * time.Hour)) {
		t.Errorf("the peer's ends at %v", at)
	}
	if at := expires(other); !at.Equal(start.Add(time.Hour)) {
		t.Errorf("another client's ends at %v", at)
	}
}

// What a webhook has decided is not undone by a new token.
func TestRefreshKeepsWhatAWebhookSaid(t *testing.T) {
	g := newGate(t, newClock(), nil, nil)
	p := g.enter("/", auth(user("ann", time.Hour, `,"may_send":["say"]`)))
	s, _ := g.srv.Of("/").Socket(p.ID())
	Update(s, func(c Client) Client {
		c.User, c.Data, c.MayJoin, c.Expires = "Ann of 7", json.RawMessage(`{"a":1}`), []string{"a"}, start.Add(time.Minute)
		return c
	})
	if got := p.refresh(user("ann", 2*time.Hour, `,"jti":"2"`)); got != "ok" {
		t.Fatal(got)
	}
	c, _ := node.Data[Client](s)
	if c.User != "Ann of 7" || string(c.Data) != `{"a":1}` || len(c.MayJoin) != 1 || !c.Expires.Equal(start.Add(time.Minute)) {
		t.Errorf("got %+v", c)
	}
	if c.MaySend != nil || c.TokenID != "2" {
		t.Errorf("the token's own did not change: %+v", c)
	}
	g.clock.step(2 * time.Minute)
	g.look()
	g.cause(ErrExpired)
}

// Changes of different parts of a client do not undo each other.
func TestUpdate(t *testing.T) {
	g := newGate(t, newClock(), nil, nil)
	p := g.enter("/", nil)
	s, _ := g.srv.Of("/").Socket(p.ID())
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() { Update(s, func(c Client) Client { c.User += "a"; return c }) })
		wg.Go(func() { Update(s, func(c Client) Client { c.TokenID += "b"; return c }) })
	}
	wg.Wait()
	if c, _ := node.Data[Client](s); len(c.User) != 100 || len(c.TokenID) != 100 {
		t.Errorf("%d and %d of 100 changes are there", len(c.User), len(c.TokenID))
	}
}

// A revocation on one node closes the clients of all, at once, and keeps them out.
func TestRevocationClosesClients(t *testing.T) {
	server := miniredis.RunT(t)
	clock := newClock()
	var gates [2]*gate
	for i := range gates {
		gates[i] = newGate(t, clock, member(t, dialRedis(t, server.Addr()), RevocationOptions{Now: clock.now}), nil)
	}
	here, there := gates[0], gates[1]
	ann := there.enter("/", auth(user("ann", time.Hour, `,"jti":"ann1"`)))
	ann2 := here.enter("/", auth(user("ann", time.Hour, `,"jti":"ann2"`)))
	bob := there.enter("/chat", auth(user("bob", time.Hour, `,"jti":"bob1"`)))
	eve := there.enter("/", map[string]any{"user": "eve"})
	free := there.enter("/", nil)
	begin := time.Now()
	if err := here.revs.Revoke(t.Context(), Revocation{TokenID: "ann1"}); err != nil {
		t.Fatal(err)
	}
	there.cause(ErrRevoked)
	if d := time.Since(begin); d > pollEvery/2 {
		t.Errorf("it took %v: found by the look every %v, not told", d, pollEvery)
	}
	ann.refused(Revoked)
	if got := ann2.refresh(user("ann", time.Hour, `,"jti":"ann1"`)); got != string(Revoked) {
		t.Errorf("a refresh with it: %q", got)
	}
	if err := there.revs.Revoke(t.Context(), Revocation{User: "eve"}); err != nil {
		t.Fatal(err)
	}
	there.cause(ErrRevoked)
	eve.refused(Revoked)
	if err := there.revs.Revoke(t.Context(), Revocation{All: true, IssuedBefore: start.Add(time.Second)}); err != nil {
		t.Fatal(err)
	}
	there.cause(ErrRevoked)
	here.cause(ErrRevoked)
	bob.refused(Revoked)
	ann2.refused(Revoked)
	if len(free.ended) != 0 {
		t.Error("one without a token was closed")
	}
	later := hs(`{"sub":"ann","iat":` + at(10*time.Second) + `,"exp":` + at(time.Hour) + `}`)
	if p := there.enter("/", auth(later)); len(p.refuse) != 0 {
		t.Error("a newer token is refused")
	}
}

// A client that was on its way in when its token was revoked is closed.
func TestRevocationWhileConnecting(t *testing.T) {
	clock := newClock()
	revs := NewRevocations(nil, RevocationOptions{Now: clock.now})
	g := newGate(t, clock, revs, nil)
	g.sentry.Close()                                                 // as if it had looked at all sockets just before this one was there
	g.srv.Of("/").Use(func(next node.ConnectFunc) node.ConnectFunc { // runs after admit
		return func(ctx context.Context, s *node.Socket) error {
			if err := revs.Revoke(ctx, Revocation{User: "ann"}); err != nil {
				return err
			}
			return next(ctx, s)
		}
	})
	p := g.enter("/", auth(user("ann", time.Hour, "")))
	g.cause(ErrRevoked)
	p.refused(Revoked)
}

// A client that recovers brings a new token, or is closed at the end of its old one.
func TestRecoveredClients(t *testing.T) {
	g := newGate(t, newClock(), nil, &node.Recovery{RunMiddlewares: true})
	var token atomic.Value
	token.Store(user("ann", time.Hour, ""))
	p := g.enter("/", func(context.Context) (any, error) { return auth(token.Load().(string)), nil })
	ups := int32(1)
	back := func(recovered bool, name string) {
		t.Helper()
		ups++
		eventually(t, "it is there again", func() bool { return p.ups.Load() == ups })
		s, _ := g.srv.Of("/").Socket(p.ID())
		c, _ := node.Data[Client](s)
		if p.Recovered() != recovered || c.User != name {
			t.Errorf("recovered: %v, as %q", p.Recovered(), c.User)
		}
	}
	p.Client().Drop()
	<-g.causes
	back(true, "ann")
	token.Store(user("ann", 2*time.Hour, "")) // and the old one ends
	g.clock.step(time.Hour + time.Minute)
	g.look()
	g.cause(ErrExpired)
	back(true, "ann")
	token.Store(user("bob", 3*time.Hour, "")) // another user is another client
	p.Client().Drop()
	<-g.causes
	back(false, "bob")
	s, _ := g.srv.Of("/").Socket(p.ID()) // what a webhook has limited is asked for again
	Update(s, func(c Client) Client { c.Expires = g.clock.now().Add(time.Minute); return c })
	g.sentry.Watch(s)
	g.clock.step(2 * time.Minute)
	g.look()
	g.cause(ErrExpired)
	back(false, "bob")
	g.clock.step(2 * time.Hour) // the token ends too
	g.look()
	g.cause(ErrExpired)
	p.refused(Expired)
}

// One Sentry is enough for many: what ends first is closed first.
func TestSentryOrder(t *testing.T) {
	g := newGate(t, newClock(), nil, nil)
	for i := range 20 {
		g.enter("/", auth(user("ann", time.Duration(1+(i*7)%20)*time.Hour, "")), client.WebSocket)
	}
	eventually(t, "all are watched", func() bool { return g.sentry.Len() == 20 }) // a client is told before
	for i := range 20 {
		if n := g.sentry.Len(); n != 20-i {
			t.Fatalf("%d are watched, want %d", n, 20-i)
		}
		g.clock.step(time.Hour)
		if i == 0 {
			g.clock.step(25 * time.Second)
		}
		g.look()
		g.cause(ErrExpired)
	}
}

func TestTokenOf(t *testing.T) {
	header := func(v string) map[string][]string { return map[string][]string{"Authorization": {v}} }
	for name, c := range map[string]struct {
		h    node.Handshake
		want string
		code Code
	}{
		"payload":            {node.Handshake{Auth: json.RawMessage(`{"token":"a"}`)}, "a", ""},
		"payload first":      {node.Handshake{Auth: json.RawMessage(`{"token":"a"}`), Header: header("Bearer b")}, "a", ""},
		"header":             {node.Handshake{Header: header("Bearer b")}, "b", ""},
		"small letters":      {node.Handshake{Header: header("bearer  b ")}, "b", ""},
		"empty payload":      {node.Handshake{Auth: json.RawMessage(`{"token":""}`), Header: header("Bearer b")}, "b", ""},
		"null":               {node.Handshake{Auth: json.RawMessage(`{"token":null}`)}, "", Missing},
		"none":               {node.Handshake{}, "", Missing},
		"another scheme":     {node.Handshake{Header: header("Basic b")}, "", Missing},
		"no scheme":          {node.Handshake{Header: header("b")}, "", Missing},
		"a number":           {node.Handshake{Auth: json.RawMessage(`{"token":1}`), Header: header("Bearer b")}, "", Invalid},
		"an object":          {node.Handshake{Auth: json.RawMessage(`{"token":{"token":"a"}}`)}, "", Invalid},
		"not in the query":   {node.Handshake{Query: map[string][]string{"token": {"a"}}, URL: "/?token=a"}, "", Missing},
		"TOKEN is another":   {node.Handshake{Auth: json.RawMessage(`{"TOKEN":"a"}`)}, "", Missing},
		"payload not object": {node.Handshake{Auth: json.RawMessage(`[]`)}, "", Invalid},
	} {
		got, err := tokenOf(c.h)
		if got != c.want || (err == nil) != (c.code == "") || err != nil && CodeOf(err) != c.code {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}
