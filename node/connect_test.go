package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// Refusals reach the client with their data (SIO-C-05), and it may try again.
func TestMiddleware(t *testing.T) {
	srv := newServer(t, Config{})
	order := make(chan string, 20)
	srv.Use(func(next ConnectFunc) ConnectFunc {
		return func(ctx context.Context, s *Socket) error {
			order <- "first"
			if s.Connected() {
				t.Error("connected during a middleware (SIO-C-08)")
			}
			return next(ctx, s)
		}
	})
	srv.Use(func(next ConnectFunc) ConnectFunc {
		return func(ctx context.Context, s *Socket) error {
			order <- "second"
			var auth struct{ Token string }
			if err := s.Auth(&auth); err != nil {
				return err
			}
			switch auth.Token {
			case "good":
				return next(ctx, s)
			case "data":
				return fmt.Errorf("wrapped: %w", &ConnectError{Message: "nope", Data: map[string]any{"code": 7}})
			case "bare":
				return &ConnectError{}
			case "odd":
				return &ConnectError{Message: "odd", Data: make(chan int)} // has no JSON
			}
			return errors.New("<denied>")
		}
	})
	srv.OnConnect(func(ctx context.Context, s *Socket) error {
		order <- "connect"
		if !s.Connected() {
			t.Error("not connected in OnConnect")
		}
		return s.Emit(ctx, "welcome", s.ID())
	})
	p := srv.dial(t)
	p.send(`40{"token":"data"}`)
	p.expect(`44{"message":"nope","data":{"code":7}}`)
	p.send(`40{"token":"odd"}`)
	p.expect(`44{"message":"odd"}`)
	p.send(`40{"token":"bare"}`)
	p.expect(`44{"message":""}`)
	p.send(`40`)
	p.expect(`44{"message":"<denied>"}`)
	id := p.connect("/", `{"token":"good"}`)
	p.expect(`42["welcome","` + id + `"]`) // after the CONNECT (SIO-C-02)
	for range 4 {
		if a, b := recv(t, order), recv(t, order); a != "first" || b != "second" {
			t.Fatal(a, b)
		}
	}
	if a, b, c := recv(t, order), recv(t, order), recv(t, order); a != "first" || b != "second" || c != "connect" {
		t.Fatal(a, b, c)
	}
}

// While middlewares run, a socket may join rooms and be sent to, but gets no
// broadcasts (SIO-C-08).
func TestDuringMiddleware(t *testing.T) {
	srv := newServer(t, Config{})
	entered, release := make(chan *Socket, 1), make(chan struct{})
	srv.Use(func(next ConnectFunc) ConnectFunc {
		return func(ctx context.Context, s *Socket) error {
			if err := s.Join(ctx, "r"); err != nil {
				return err
			}
			if err := s.Emit(ctx, "early"); err != nil {
				return err
			}
			entered <- s
			<-release
			return next(ctx, s)
		}
	})
	withSync(srv)
	p := srv.dial(t)
	p.send("40")
	s := recv(t, entered)
	p.expect(`42["early"]`)
	if err := srv.To("r").Emit(t.Context(), "missed"); err != nil {
		t.Fatal(err)
	}
	if _, ok := srv.Socket(s.ID()); ok || srv.Len() != 0 {
		t.Error("socket is known before it is in")
	}
	s.Disconnect(false) // means nothing yet
	close(release)
	p.connected("/")
	if err := srv.To("r").Emit(t.Context(), "news"); err != nil {
		t.Fatal(err)
	}
	p.expect(`42["news"]`)
	p.sync("/")
}

// The session dies during a middleware: no disconnect event, rooms are left
// (SIO-C-09).
func TestEndDuringMiddleware(t *testing.T) {
	srv := newServer(t, Config{})
	ended := make(chan error, 1)
	srv.Use(func(next ConnectFunc) ConnectFunc {
		return func(ctx context.Context, s *Socket) error {
			_ = s.Join(ctx, "r")
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return next(ctx, s)
		}
	})
	srv.OnConnect(func(context.Context, *Socket) error { t.Error("connected"); return nil })
	srv.OnDisconnect(func(context.Context, *Socket, Disconnect) { t.Error("disconnected") })
	p := srv.dial(t)
	p.send("40")
	eventually(t, "room", func() bool { return srv.index.has("r") })
	p.ws.Close()
	if err := recv(t, ended); !errors.Is(err, ErrDisconnected) {
		t.Error(err)
	}
	eventually(t, "room left", func() bool { return !srv.index.has("r") })
}

// What closes a session (HRD-40; SIO-M-12 to -15).
func TestStateViolations(t *testing.T) {
	srv := newServer(t, Config{})
	srv.Of("/slow").Use(func(next ConnectFunc) ConnectFunc {
		return func(ctx context.Context, s *Socket) error { <-ctx.Done(); return next(ctx, s) }
	})
	reasons := make(chan Disconnect, 1)
	srv.OnDisconnect(func(_ context.Context, _ *Socket, d Disconnect) { reasons <- d })
	for name, frames := range map[string][]string{
		"event before CONNECT":      {`42["a"]`},
		"event of other namespace":  {"40", `42/zz,["a"]`},
		"event during middleware":   {"40", "40/slow,", `42/slow,["a"]`},
		"ack before CONNECT":        {"430[]"},
		"CONNECT twice":             {"40", "40"},
		"CONNECT while connecting":  {"40/slow,", "40/slow,"},
		"CONNECT_ERROR":             {"40", `44{"message":"x"}`},
		"DISCONNECT without":        {"41"},
		"DISCONNECT twice":          {"40", "41", "41"},
		"event after DISCONNECT":    {"40", "41", `42["a"]`},
		"reserved name":             {"40", `42["disconnect"]`},
		"not JSON":                  {"40", `42["a"`},
		"CONNECT payload too large": {`40{"t":"` + strings.Repeat("x", 17<<10) + `"}`},
		"text for missing binary":   {"40", `451-["a",{"_placeholder":true,"num":0}]`, `42["a"]`},
		"binary without header":     {"40", "bin:x"},
	} {
		t.Run(name, func(t *testing.T) {
			p := srv.dial(t)
			p.send(frames...)
			if code := p.closed(); code != 1005 { // "88 00", as officially (HRD-37)
				t.Errorf("close code %d", code)
			}
			if frames[0] == "40" {
				d := recv(t, reasons)
				want := ReasonForcedClose // SIO-X-08, SIO-X-12
				if strings.Contains(name, "after D") || strings.Contains(name, "T twice") && frames[1] == "41" {
					want = ReasonClientDisconnect
				}
				if d.Reason != want || (d.Cause == nil) != (want == ReasonClientDisconnect) {
					t.Errorf("reason %q, cause %v", d.Reason, d.Cause)
				}
			}
		})
	}
}

func TestUnknownNamespace(t *testing.T) {
	srv := newServer(t, Config{Limits: Limits{Refusals: 3}})
	p := srv.dial(t)
	for range 3 {
		p.send("40/zzz,")
		p.expect(`44/zzz,{"message":"Invalid namespace"}`) // SIO-M-17
	}
	p.connect("/", "")
	p.send("40/__proto__,")
	p.expect(`44/__proto__,{"message":"Invalid namespace"}`)
	p.closed() // HRD-40
}

func TestNamespaceLimit(t *testing.T) {
	srv := newServer(t, Config{Limits: Limits{Namespaces: 3}})
	srv.OfPattern("/n/{id}")
	withSync(srv)
	p, _ := srv.join(t, "/")
	p.connect("/n/1", "")
	p.connect("/n/2", "")
	p.send("40/n/3,")
	p.expect(`44/n/3,{"message":"Too many namespaces"}`) // HRD-44
	p.send("41/n/1,")
	p.connect("/n/3", "")
	p.sync("/")
}

func TestMultiplexing(t *testing.T) {
	srv := newServer(t, Config{})
	admin := srv.Of("admin")
	if admin != srv.Of("/admin") || srv.Of("") != srv.Of("/") { // SIO-N-01
		t.Error("names differ by their slash")
	}
	for _, ns := range []*Namespace{admin, srv.Of("/")} {
		Handle(ns, "where", func(_ context.Context, s *Socket, _ None) (string, error) {
			var peers []string
			for peer := range s.Peers() {
				peers = append(peers, peer.Namespace().Name())
			}
			return s.Namespace().Name() + fmt.Sprint(peers), nil
		})
	}
	p, id := srv.join(t, "/")
	if id2 := p.connect("/admin", `{"t":1}`); id2 == id {
		t.Error("one id for two sockets")
	}
	p.send(`421["where"]`)
	p.expect(`431["/[/admin]"]`)
	p.send(`42/admin,1["where"]`)
	p.expect(`43/admin,1["/admin[/]"]`)
	p.send(`41/admin,`)
	eventually(t, "left", func() bool { return admin.Len() == 0 })
	p.send(`422["where"]`)
	p.expect(`432["/[]"]`)
	if again := p.connect("/admin", ""); again == id { // SIO-X-19
		t.Error("same id")
	}
}

// Sessions that never become clients end (HRD-15, SIO-C-07).
func TestConnectTimeouts(t *testing.T) {
	srv := newPlainServer(t, Config{})
	release := make(chan struct{})
	ended := make(chan struct{}, 2)
	srv.Of("/slow").Use(func(next ConnectFunc) ConnectFunc {
		return func(ctx context.Context, s *Socket) error {
			select {
			case <-ctx.Done():
				ended <- struct{}{}
			case <-release:
			}
			return next(ctx, s)
		}
	})
	about := func(t *testing.T, f *fakeSession, want time.Duration) {
		t.Helper()
		if d := f.alarmIn(); d > want || d < want-5*time.Second {
			t.Errorf("alarm in %v, want about %v", d, want)
		}
	}
	f := srv.open()
	about(t, f, 20*time.Second)
	f.c.Alarm()
	if f.closed == nil {
		t.Error("not closed without CONNECT")
	}

	f = srv.open()
	f.receive("0/slow,")
	about(t, f, 45*time.Second)
	f.receive("0/none,") // a refusal changes nothing
	about(t, f, 45*time.Second)
	f.c.Alarm()
	if f.closed == nil {
		t.Error("not closed with a CONNECT that waits")
	}
	<-ended

	f = srv.open()
	f.receive("0")
	about(t, f, 0)
	f.receive("0/slow,")
	about(t, f, 0) // one namespace is enough
	f.receive(`51-["a",{"_placeholder":true,"num":0}]`)
	about(t, f, 10*time.Second) // HRD-41
	f.c.Message([]byte("x"), true, true)
	about(t, f, 0)
	f.receive("1")
	about(t, f, 0) // one that has left all may stay
	f.c.Alarm()    // came late
	if f.closed != nil {
		t.Error("closed")
	}
	close(release)
	f.end("transport close")
}

func (f *fakeSession) alarmIn() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.alarm
}

func TestPattern(t *testing.T) {
	for _, test := range []struct{ pattern, name, want string }{
		{"/a/{id}", "/a/7", "id=7"},
		{"a/{id}/x", "/a/7/x", "id=7"},
		{"/a/{id}", "/a/", "-"},
		{"/a/{id}", "/a/7/", "-"},
		{"/a/{id}", "/b/7", "-"},
		{"/a/{id}", "/a", "-"},
		{"/a/{rest...}", "/a/b/c", "rest=b/c"},
		{"/a/{rest...}", "/a/", "-"},
		{"/{x}-y", "", "panic"},
		{"/{x}/{x}", "", "panic"},
		{"/{x...}/y", "", "panic"},
		{"/{}", "", "panic"},
		{"/{x", "", "panic"},
		{"/plain", "/plain", ""},
		{"/plain", "/plain/", "-"},
	} {
		got := func() (s string) {
			defer func() {
				if recover() != nil {
					s = "panic"
				}
			}()
			p := &Pattern{segments: parsePattern(test.pattern)}
			values, ok := p.match(test.name)
			if !ok {
				return "-"
			}
			for k, v := range values {
				s += k + "=" + v
			}
			return s
		}()
		if got != test.want {
			t.Errorf("%s %s: %s, want %s", test.pattern, test.name, got, test.want)
		}
	}
}

// Dynamic namespaces copy their parent's handlers, can be reached through it, and
// are freed (SIO-N-02 to -06, HRD-44).
func TestDynamicNamespaces(t *testing.T) {
	srv := newServer(t, Config{})
	tenants := srv.OfPattern("/tenant/{id}")
	Handle(tenants, "id", func(_ context.Context, s *Socket, _ None) (string, error) {
		return s.Namespace().PathValue("id"), nil
	})
	withSync(tenants)
	made := make(chan string, 10)
	srv.OnNamespace(func(ns *Namespace) { made <- ns.Name() })
	srv.OfFunc(func(_ context.Context, name string, auth json.RawMessage) bool {
		return strings.HasPrefix(name, "/f/") && string(auth) == `{"ok":true}`
	})
	a := srv.dial(t)
	a.connect("/tenant/1", "")
	a.connect("/tenant/2", "")
	if recv(t, made) != "/tenant/1" || recv(t, made) != "/tenant/2" {
		t.Error("OnNamespace")
	}
	a.send(`42/tenant/2,5["id"]`)
	a.expect(`43/tenant/2,5["2"]`)
	Handle(tenants, "late", func(context.Context, *Socket, None) (int, error) { return 1, nil })
	a.send(`42/tenant/2,6["late"]`)
	a.sync("/tenant/2") // not copied any more (SIO-N-03)
	if err := tenants.Emit(t.Context(), "all"); err != nil {
		t.Fatal(err)
	}
	got := []string{a.read(), a.read()}
	if strings.Join(sorted(got), " ") != `42/tenant/1,["all"] 42/tenant/2,["all"]` {
		t.Error(got)
	}
	a.send("40/f/x,")
	a.expect(`44/f/x,{"message":"Invalid namespace"}`)
	a.connect("/f/x", `{"ok":true}`)

	static := srv.Of("/tenant/3") // SIO-N-04
	if static.PathValue("id") != "3" {
		t.Error("Of did not use the pattern")
	}
	a.connect("/tenant/3", "")
	a.send("41/tenant/1,", "41/tenant/3,")
	eventually(t, "freed", func() bool { _, ok := srv.Lookup("tenant/1"); return !ok })
	eventually(t, "empty", func() bool { return static.Len() == 0 })
	if ns, ok := srv.Lookup("/tenant/3"); !ok || ns != static {
		t.Error("what Of returned was freed")
	}
	a.ws.Close()
	eventually(t, "freed", func() bool { return len(srv.Namespaces()) == 2 })
	b := srv.dial(t)
	b.connect("/tenant/1", "")
	if n := len(tenants.Namespaces()); n != 2 {
		t.Error(n)
	}
}

// A refused attempt frees the namespace it has made (SIO-N-06).
func TestRefusedAttemptFreesNamespace(t *testing.T) {
	srv := newServer(t, Config{})
	p := srv.OfPattern("/x/{id}")
	p.Use(func(ConnectFunc) ConnectFunc {
		return func(context.Context, *Socket) error { return errors.New("no") }
	})
	c := srv.dial(t)
	for i := range 50 {
		c.send(fmt.Sprintf("40/x/%d,", i))
		c.expect(fmt.Sprintf(`44/x/%d,{"message":"no"}`, i))
	}
	if n := len(srv.Namespaces()); n != 1 {
		t.Errorf("%d namespaces", n)
	}
}

func TestKeepEmptyNamespaces(t *testing.T) {
	srv := newServer(t, Config{KeepEmptyNamespaces: true})
	srv.OfPattern("/x/{id}")
	p := srv.dial(t)
	p.connect("/x/1", "")
	ns, _ := srv.Lookup("/x/1")
	p.ws.Close()
	eventually(t, "empty", func() bool { return ns.Len() == 0 })
	if _, ok := srv.Lookup("/x/1"); !ok {
		t.Error("freed")
	}
}

func TestBadNames(t *testing.T) {
	srv := newPlainServer(t, Config{})
	for _, name := range []string{"/a,b", "/a\x00", "/\xff", strings.Repeat("x", 300)} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Of(%.20q) did not panic", name)
				}
			}()
			srv.Of(name)
		}()
	}
}
