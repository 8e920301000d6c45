package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/protocol/msgpack"
)

// faulty is a journal that fails as the test wants.
type faulty struct {
	adapter.Journal
	adapter.Adapter
	replay, save error
	during       func() // called by Replay
	saving       func() // called by SaveSession
}

func (f *faulty) Replay(ctx context.Context, offset string, wants func(*adapter.Message) bool) (adapter.Replay, error) {
	if f.during != nil {
		f.during()
	}
	if f.replay != nil {
		return nil, f.replay
	}
	return f.Journal.Replay(ctx, offset, wants)
}

func (f *faulty) SaveSession(ctx context.Context, s *adapter.Session, ttl time.Duration, fresh bool) error {
	if f.saving != nil {
		f.saving()
	}
	if f.save != nil {
		return f.save
	}
	return f.Journal.SaveSession(ctx, s, ttl, fresh)
}

// newFaulty starts a server whose namespace "/" has a faulty journal.
func newFaulty(t *testing.T, hub *adapter.Hub, cfg Config) (*testServer, *faulty) {
	t.Helper()
	f := new(faulty)
	cfg.Adapter = func(h adapter.Host) (adapter.Adapter, error) {
		a, err := hub.Factory(h)
		f.Adapter, f.Journal = a, a.(adapter.Journal)
		return f, err
	}
	return newServer(t, recovering(cfg)), f
}

// expiries collects the causes that OnSessionExpired tells, and what comes after.
func expiries(ns Handlers) <-chan error {
	c := make(chan error, 10)
	ns.reg().OnSessionExpired(func(_ context.Context, s *Socket, cause error) {
		if s.Recovered() || !s.Connected() {
			cause = errors.New("not a new socket")
		}
		c <- cause
	})
	return c
}

func TestSessionExpired(t *testing.T) {
	srv, f := newFaulty(t, new(adapter.Hub), Config{Limits: Limits{Output: 4096}})
	causes := expiries(srv)
	isNew := func(l, before *life, want error, name string) {
		t.Helper()
		if l.id == before.id || l.pid == before.pid {
			t.Error("the old session")
		}
		if err := recv(t, causes); !errors.Is(err, want) {
			t.Errorf("cause %v", err)
		}
		if n := srv.Stats().NotRecovered[name]; n == 0 {
			t.Errorf("not counted as %q", name)
		}
		l.ws.Close()
	}
	made := func() *life {
		l := begin(t, srv, "/", nil)
		_ = srv.Emit(t.Context(), "e")
		l.want(`["e"]`)
		l.cut(srv.Of("/"))
		return l
	}
	stranger := &life{pid: "12345678901234567890", offset: "1"}
	isNew(begin(t, srv, "/", stranger), stranger, adapter.ErrNoSession, "no session")

	l := made()
	isNew(begin(t, srv, "/", &life{id: l.id, pid: l.pid, offset: "not an offset"}), l, adapter.ErrLost, "events lost")

	l, f.replay = made(), errors.New("broker away")
	isNew(begin(t, srv, "/", l), l, f.replay, "error")

	l, f.replay = made(), nil
	f.during = func() {
		for range 100 {
			_ = srv.Emit(t.Context(), "flood", strings.Repeat("x", 100))
		}
	}
	next := begin(t, srv, "/", l)
	f.during = nil
	isNew(next, l, ErrOverrun, "overrun")
	if srv.Stats().Recovered != 0 {
		t.Error("recovered")
	}
}

// A client that left, or was sent away, does not come back to its session
// (socketio.md section 8); nor does one whose session another connection has taken.
func TestSessionEnds(t *testing.T) {
	srv := newServer(t, recovering(Config{}))
	ns := srv.Of("/")
	causes := expiries(srv)
	for name, end := range map[string]func(l *life, s *Socket){
		"left":      func(l *life, _ *Socket) { l.send("41") },
		"sent away": func(_ *life, s *Socket) { s.Disconnect(false) },
		"closed":    func(_ *life, s *Socket) { s.Disconnect(true) },
	} {
		t.Run(name, func(t *testing.T) {
			l := begin(t, srv, "/", nil)
			s, _ := ns.Socket(l.id)
			end(l, s)
			l.ended(ns)
			if next := begin(t, srv, "/", l); next.id == l.id {
				t.Error("recovered")
			}
			if err := recv(t, causes); !errors.Is(err, adapter.ErrNoSession) {
				t.Error(err)
			}
		})
	}
}

// Clients of a node that has lost events for good are told: they come back to new
// sockets, in this namespace only (HRD-67).
func TestEventsLost(t *testing.T) {
	srv := newServer(t, recovering(Config{Adapter: new(adapter.Hub).Factory}))
	ns, other := srv.Of("/"), srv.Of("/other")
	causes := expiries(srv)
	var lives []*life
	for range 5 {
		l := begin(t, srv, "/", nil)
		_ = srv.Emit(t.Context(), "e")
		l.want(`["e"]`)
		lives = append(lives, l)
	}
	apart := begin(t, srv, "/other", nil)
	host{ns}.EventsLost()
	for _, l := range lives {
		eventually(t, "the end", func() bool { _, ok := ns.Socket(l.id); return !ok })
		if next := begin(t, srv, "/", l); next.id == l.id || next.pid == l.pid {
			t.Error("recovered")
		}
		if err := recv(t, causes); !errors.Is(err, adapter.ErrNoSession) {
			t.Error(err)
		}
	}
	if _, ok := other.Socket(apart.id); !ok {
		t.Error("a client of another namespace was closed")
	}
	if next := begin(t, srv, "/", nil); next.id == "" { // those that come later are not concerned
		t.Error("no id")
	}
}

// A client may be back before its loss was noticed: the old connection is closed
// first, on this node and on another one (HRD-71). Its handlers run before those of
// the new one.
func TestTakeover(t *testing.T) {
	hub := new(adapter.Hub)
	var servers []*testServer
	steps := make(chan string, 100)
	for range 2 {
		srv := newServer(t, recovering(Config{Adapter: hub.Factory}))
		srv.OnConnect(func(ctx context.Context, s *Socket) error {
			if !s.Recovered() {
				if err := s.Join(ctx, "r"); err != nil {
					return err
				}
			}
			steps <- fmt.Sprint("connect ", s.Recovered())
			return nil
		})
		srv.OnDisconnect(func(_ context.Context, _ *Socket, d Disconnect) {
			steps <- fmt.Sprint("disconnect ", d.Cause == errTakenOver)
		})
		if err := srv.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		servers = append(servers, srv)
	}
	expect := func(want ...string) {
		t.Helper()
		for _, want := range want {
			if got := recv(t, steps); got != want {
				t.Fatalf("%s, want %s", got, want)
			}
		}
	}
	l := begin(t, servers[0], "/", nil)
	expect("connect false")
	for i, at := range []int{0, 1, 0, 0, 1} {
		next := begin(t, servers[at], "/", l)
		if next.id != l.id {
			t.Fatalf("visit %d: a new session", i)
		}
		expect("disconnect true", "connect true")
		l.closed()
		_ = servers[1-at].To("r").Emit(t.Context(), "room", i)
		_ = servers[1-at].To(l.id).Emit(t.Context(), "id", i)
		next.want(fmt.Sprintf(`["room",%d]`, i), fmt.Sprintf(`["id",%d]`, i))
		l = next
	}
	if n := servers[0].Len() + servers[1].Len(); n != 1 {
		t.Errorf("%d sockets", n)
	}
}

// With RunMiddlewares they decide before anything of the session leaves (SIO-Z-10).
func TestRecoveryMiddleware(t *testing.T) {
	cfg := Config{Recovery: &Recovery{RunMiddlewares: true}}
	srv := newServer(t, cfg)
	refuse := false
	srv.Use(func(next ConnectFunc) ConnectFunc {
		return func(ctx context.Context, s *Socket) error {
			if refuse {
				if name, _ := Data[string](s); name != "bob" || !s.Recovered() || !s.InRoom("r") {
					t.Error("not the session's", name, s.Recovered(), s.Rooms())
				}
				return errors.New("no")
			}
			return next(ctx, s)
		}
	})
	srv.OnConnect(func(ctx context.Context, s *Socket) error {
		s.SetData("bob")
		return s.Join(ctx, "r")
	})
	l := begin(t, srv, "/", nil)
	eventually(t, "the room", func() bool { return len(srv.index.members("r")) == 1 })
	_ = srv.Emit(t.Context(), "e")
	l.want(`["e"]`)
	l.cut(srv.Of("/"))
	_ = srv.Emit(t.Context(), "secret")
	refuse = true
	p := srv.dial(t)
	p.send(fmt.Sprintf(`40{"pid":%q,"offset":%q}`, l.pid, l.offset))
	p.expect(`44{"message":"no"}`)
	if n := srv.Len() + len(srv.Rooms()); n != 0 {
		t.Errorf("%d sockets and rooms are left", n)
	}
	refuse = false
	if next := begin(t, srv, "/", l); next.id == l.id {
		t.Error("a refused session came back")
	}
}

// A middleware can decline a recovery: the client comes in as a new one, if they all
// let it.
func TestRecoveryDeclined(t *testing.T) {
	for _, answer := range []error{nil, errors.New("no"), ErrBeginAnew} {
		srv := newServer(t, Config{Recovery: &Recovery{RunMiddlewares: true}})
		visits, again := 0, false
		srv.Use(func(next ConnectFunc) ConnectFunc {
			return func(ctx context.Context, s *Socket) error {
				visits++
				switch {
				case s.Recovered():
					again = true
					return fmt.Errorf("too old: %w", ErrBeginAnew)
				case again:
					if name, ok := Data[string](s); ok || len(s.Rooms()) != 1 {
						t.Error("it has something of the session", name, s.Rooms())
					}
					if answer != nil {
						return answer
					}
				}
				return next(ctx, s)
			}
		})
		srv.OnConnect(func(ctx context.Context, s *Socket) error {
			s.SetData("bob")
			return s.Join(ctx, "r")
		})
		causes := expiries(srv.Of("/"))
		l := begin(t, srv, "/", nil)
		eventually(t, "the room", func() bool { return len(srv.index.members("r")) == 1 })
		_ = srv.Emit(t.Context(), "e")
		l.want(`["e"]`)
		l.cut(srv.Of("/"))
		_ = srv.Emit(t.Context(), "secret")
		if answer != nil {
			p := srv.dial(t)
			p.send(fmt.Sprintf(`40{"pid":%q,"offset":%q}`, l.pid, l.offset))
			p.expect(fmt.Sprintf(`44{"message":%q}`, answer.Error()))
			if n := srv.Len() + len(srv.Rooms()); n != 0 {
				t.Errorf("%d sockets and rooms are left", n)
			}
		} else {
			next := begin(t, srv, "/", l)
			if next.id == l.id || next.pid == l.pid || len(next.missed) != 0 {
				t.Errorf("it has something of the session: %+v", next)
			}
			if err := recv(t, causes); !errors.Is(err, ErrBeginAnew) {
				t.Error(err)
			}
			eventually(t, "one in the room", func() bool { return len(srv.index.members("r")) == 1 })
		}
		if visits != 3 || srv.Stats().NotRecovered["declined"] == 0 && answer == nil {
			t.Errorf("%d visits, %v", visits, srv.Stats().NotRecovered)
		}
	}
}

// What is kept is there for the next node when Shutdown has returned (HRD-71).
func TestRecoveryAfterShutdown(t *testing.T) {
	hub := new(adapter.Hub)
	other := newServer(t, recovering(Config{Adapter: hub.Factory}))
	if err := other.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	srv, err := New(recovering(Config{Adapter: hub.Factory}))
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	f := srv.open()
	f.receive("0")
	s := f.c.sockets[0]
	eventually(t, "the socket", s.Connected)
	_ = s.Join(t.Context(), "late") // not written yet
	f.end("server shutting down")
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	_ = other.To("late").Emit(t.Context(), "missed")

	l := begin(t, other, "/", &life{pid: s.rec.pid})
	if l.id != s.ID() || fmt.Sprint(l.missed) != `[["missed"]]` {
		t.Errorf("%s, missed %v, %v", l.id, l.missed, other.Stats().NotRecovered)
	}
}

// A client whose connection dies while it recovers may try again.
func TestRecoveryCutShort(t *testing.T) {
	srv, f := newFaulty(t, new(adapter.Hub), Config{})
	srv.OnConnect(func(ctx context.Context, s *Socket) error { return s.Join(ctx, "r") })
	l := begin(t, srv, "/", nil)
	eventually(t, "the room", func() bool { return len(srv.index.members("r")) == 1 })
	_ = srv.To("r").Emit(t.Context(), "e")
	l.want(`["e"]`)
	for range 3 {
		l.cut(srv.Of("/"))
		_ = srv.To("r").Emit(t.Context(), "missed")
		fake := srv.open()
		f.during = func() { fake.end("transport close") }
		fake.receive(fmt.Sprintf(`0{"pid":%q,"offset":%q}`, l.pid, l.offset))
		if err := srv.tasks.Wait(t.Context()); err != nil { // with the attempt, which gives the session back at its end
			t.Fatal(err)
		}
		if fake.AwaitRoom() {
			t.Fatal("the attempt was not cut short")
		}
		f.during = nil
		next := begin(t, srv, "/", l)
		if next.id != l.id || fmt.Sprint(next.missed) != `[["missed"]]` {
			t.Fatalf("%s, missed %v, %v", next.id, next.missed, srv.Stats().NotRecovered)
		}
		l = next
	}
}

// A record that cannot be written is counted, and written when that is possible.
func TestRecordsFailed(t *testing.T) {
	srv, f := newFaulty(t, new(adapter.Hub), Config{})
	f.save = errors.New("away")
	l := begin(t, srv, "/", nil)
	eventually(t, "the failure", func() bool { return srv.Stats().RecordsFailed == 1 })
	if n := srv.Stats().RecordsPending; n != 1 {
		t.Errorf("%d records are pending", n)
	}
	_ = l
}

func TestRestoredData(t *testing.T) {
	srv := newPlainServer(t, Config{})
	s := func() *Socket { f := srv.open(); f.receive("0"); return f.c.sockets[0] }()
	type user struct{ Name string }
	s.data = &restoredData{raw: []byte(`{"Name":"bob"}`)}
	p, ok := Data[*user](s)
	if !ok || p.Name != "bob" {
		t.Error(p, ok)
	}
	if q, _ := Data[*user](s); q != p {
		t.Error("decoded twice")
	}
	if u, ok := Data[user](s); !ok || u.Name != "bob" {
		t.Error(u, ok)
	}
	if m, ok := Data[map[string]any](s); !ok || m["Name"] != "bob" {
		t.Error(m, ok)
	}
	if raw, ok := Data[json.RawMessage](s); !ok || string(raw) != `{"Name":"bob"}` {
		t.Error(string(raw), ok)
	}
	if n, ok := Data[int](s); ok || n != 0 {
		t.Error(n, ok)
	}
	if v, ok := Data[any](s); !ok {
		t.Error(v)
	}
	if string(s.jsonData()) != `{"Name":"bob"}` {
		t.Errorf("%s", s.jsonData())
	}
}

func TestReadClaim(t *testing.T) {
	for auth, want := range map[string]claim{
		``:                               {},
		`{}`:                             {},
		`{"pid":"a","offset":"b","x":1}`: {"a", "b"},
		`{"pid":"a"}`:                    {"a", ""},
		`{"offset":"b"}`:                 {},
		`{"pid":1,"offset":"b"}`:         {},
		`{"pid":"a","offset":2}`:         {},
		`{"PID":"a","offset":"b"}`:       {},
		`{"pid":null,"offset":null}`:     {},
		`["pid"]`:                        {},
		`{"pid":"` + strings.Repeat("x", 5000) + `"}`: {},
	} {
		if got := readClaim([]byte(auth)); got != want {
			t.Errorf("%.40s: %+v", auth, got)
		}
	}
}

func TestAppendOffset(t *testing.T) {
	for data, want := range map[string]string{`["e"]`: `["e","o"]`, `["e",[]]`: `["e",[],"o"]`, `[]`: `["o"]`, `[ ]`: `[ "o"]`} {
		if got := string(appendOffset(nil, []byte(data), "o")); got != want {
			t.Errorf("%s: %s", data, got)
		}
	}
}

// Clients of version 2 do not know offsets, and get none.
func TestOffsetsAndProtocol3(t *testing.T) {
	srv := newServer(t, recovering(Config{AllowEIO3: true}))
	new4 := begin(t, srv, "/", nil)
	ws, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(srv.http.URL, "http")+"/socket.io/?EIO=3&transport=websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	old := &peer{t: t, ws: ws}
	old.read() // the handshake
	old.expect("40")
	eventually(t, "both", func() bool { return srv.Len() == 2 })
	_ = srv.Emit(t.Context(), "e", "x")
	for s := range srv.LocalSockets() {
		_ = s.Emit(t.Context(), "own")
	}
	new4.want(`["e","x"]`, `["own"]`)
	old.expect(`42["e","x"]`, `42["own"]`)
}

func TestRecoveryNeedsJournal(t *testing.T) {
	plain := func(h adapter.Host) (adapter.Adapter, error) {
		a, err := new(adapter.Hub).Factory(h)
		return struct{ adapter.Adapter }{a}, err
	}
	if _, err := New(recovering(Config{Adapter: plain})); err == nil {
		t.Error("an adapter without journal was taken")
	}
	if _, err := New(Config{Recovery: &Recovery{MaxDisconnection: -1}}); err == nil {
		t.Error("a negative time was taken")
	}
}

// The other parser takes the offset in its own form.
func TestOffsetMsgpack(t *testing.T) {
	srv := newServer(t, recovering(Config{Parser: msgpack.Parser}))
	e := &outgoing{payload: adapter.Payload{Data: []byte(`["e",1]`)}}
	if p := srv.packetFor(e, "off"); p == nil {
		t.Error("no packet")
	}
}
