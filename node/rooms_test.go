package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanwire/fanwire/adapter"
)

// The table of section 10, over the wire: a in {r1}, b in {r1,r2}, c in {r2}.
func TestTargets(t *testing.T) {
	srv := newServer(t, Config{})
	On(srv, "join", func(ctx context.Context, s *Socket, rooms []string) error { return s.Join(ctx, rooms...) })
	withSync(srv)
	peers := map[string]*peer{}
	sockets := map[string]*Socket{}
	for name, rooms := range map[string]string{"a": `["r1"]`, "b": `["r1","r2"]`, "c": `["r2"]`, "": `["r3"]`} {
		p, id := srv.join(t, "/")
		p.send(`42["join",` + rooms + `]`)
		p.sync("/")
		sockets[name], _ = srv.Socket(id)
		if name != "" { // the empty name is one more socket that only the rest selects
			peers[name] = p
		}
	}
	a := sockets["a"]
	others := srv.Except("r3")
	for _, test := range []struct {
		name string
		b    Broadcast
		want string
	}{
		{"to(r1)", srv.To("r1"), "ab"},
		{"to([r1,r2])", srv.To("r1", "r2"), "abc"},
		{"to(r1).to(r2)", srv.To("r1").To("r2"), "abc"},
		{"in(r1).in(r1)", srv.In("r1").In("r1"), "ab"},
		{"to(r1).except(r2)", srv.To("r1").Except("r2"), "a"},
		{"except(r1)", others.Except("r1"), "c"},
		{"except(r1,r2)", others.Except("r1", "r2"), ""},
		{"a.to(r1)", a.To("r1"), "b"},
		{"a.in(r1)", a.In("r1"), "b"},
		{"a.broadcast", a.Broadcast().Except("r3"), "bc"},
		{"a.local", a.Local().Except("r3"), "bc"},
		{"a.except(r2)", a.Except("r2", "r3"), ""},
		{"to(id)", srv.To(a.ID()), "a"},
		{"to(id,id)", srv.To(a.ID(), sockets["c"].ID()), "ac"},
		{"to(id,r1)", srv.To(a.ID(), "r1"), "ab"},
		{"a.to(a)", a.To(a.ID()), ""},
		{"except(id)", others.Except(a.ID()), "bc"},
		{"to(unknown)", srv.To("unknown"), ""},
		{"to(unknown,r2)", srv.To("unknown", "r2"), "bc"},
		{"to(r1).except(unknown)", srv.To("r1").Except("unknown"), "ab"},
		{"all", srv.All().Except("r3"), "abc"},
	} {
		if err := test.b.Emit(t.Context(), "e"); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, name := range []string{"a", "b", "c"} {
			p := peers[name]
			p.send(`421["sync"]`)
			for f := p.read(); f != `431[]`; f = p.read() {
				if f != `42["e"]` {
					t.Fatal(f)
				}
				got += name
			}
		}
		if got != test.want {
			t.Errorf("%s reached %q, want %q", test.name, got, test.want)
		}
	}
}

// A Broadcast is a value: what one user adds, another does not see.
func TestBroadcastIsImmutable(t *testing.T) {
	srv := newPlainServer(t, Config{})
	base := srv.To("a", "b")
	x := base.To("x").Except("ex")
	y := base.To("y").Except("ey").Volatile().Local().Compress(false)
	if fmt.Sprint(base.rooms, x.rooms, y.rooms, x.except, y.except) != "[a b] [a b x] [a b y] [ex] [ey]" || x.volatile || x.local || x.noCompress {
		t.Error(base, x, y)
	}
}

func TestJoinAndLeave(t *testing.T) {
	srv := newPlainServer(t, Config{Limits: Limits{Rooms: 5, RoomName: 20}})
	var log []string
	var name string
	srv.OnRoom(RoomEvents{
		Created: func(_ *Namespace, room string) { log = append(log, "+"+room) },
		Joined:  func(_ *Namespace, room string, s *Socket) { log = append(log, room+"+") },
		Left:    func(_ *Namespace, room string, s *Socket) { log = append(log, room+"-") },
		Deleted: func(_ *Namespace, room string) { log = append(log, "-"+room) },
	})
	srv.OnRoom(RoomEvents{})
	in := make(chan *Socket, 1)
	srv.OnConnect(func(_ context.Context, s *Socket) error { in <- s; return nil })
	enter := func() (*fakeSession, *Socket) {
		f := srv.open()
		f.receive("0")
		s := <-in
		eventually(t, "entered", func() bool {
			s.client.mu.Lock()
			defer s.client.mu.Unlock()
			return !s.running
		})
		return f, s
	}
	check := func(want string) {
		t.Helper()
		got := strings.Join(log, " ")
		got = strings.ReplaceAll(got, name, "ID")
		log = nil
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	f, a := enter()
	name = a.ID()
	check("+ID ID+") // SIO-R-07
	ctx := t.Context()
	if err := a.Join(ctx, "x", "", "x"); err != nil {
		t.Fatal(err)
	}
	check("+x x+ + +")
	if err := a.Join(ctx, "x", a.ID()); err != nil { // SIO-R-02
		t.Fatal(err)
	}
	check("")
	f2, b := enter()
	log = nil
	if err := b.Join(ctx, "x"); err != nil {
		t.Fatal(err)
	}
	check("x+")
	if got := fmt.Sprint(a.Rooms()[1:], a.InRoom("x"), a.InRoom("y"), a.InRoom(a.ID()), srv.index.has("x"), srv.index.has(a.ID())); got != "[x ] true false true true true" {
		t.Error(got)
	}
	a.Leave("x", "unknown")
	check("x-")
	a.Leave("")
	check("- -")
	a.Leave(a.ID(), a.ID())
	check("ID- -ID")
	if srv.index.has(a.ID()) || a.InRoom(a.ID()) || len(a.Rooms()) != 0 {
		t.Error("still in the own room") // SIO-R-05
	}
	if err := a.Join(ctx, a.ID()); err != nil {
		t.Fatal(err)
	}
	check("+ID ID+")
	for _, bad := range []string{strings.Repeat("x", 21), "a\x00", "\xff"} {
		if err := a.Join(ctx, "ok", bad); !errors.Is(err, ErrRoomName) { // HRD-43
			t.Error(err)
		}
		if err := srv.Join(ctx, bad); !errors.Is(err, ErrRoomName) {
			t.Error(err)
		}
	}
	if err := a.Join(ctx, "1", "2", "3", "4", "5", "6"); !errors.Is(err, ErrTooManyRooms) || a.InRoom("1") { // HRD-45
		t.Error(err)
	}
	if err := a.Join(ctx, "1", "2", "3", "4", "5"); err != nil {
		t.Error(err)
	}
	if err := a.Join(ctx, "1", "1", "2"); err != nil { // none is new
		t.Error(err)
	}
	if err := a.Join(ctx, "6"); !errors.Is(err, ErrTooManyRooms) {
		t.Error(err)
	}
	log = nil
	f.end("transport close")
	check("ID- -ID 1- -1 2- -2 3- -3 4- -4 5- -5") // in the order they were joined
	f2.end("transport close")
	if len(srv.Rooms()) != 0 {
		t.Error(srv.Rooms())
	}
}

// The index keeps what a plain model keeps, whatever comes, and no snapshot ever
// changes.
func TestIndexModel(t *testing.T) {
	srv := newPlainServer(t, Config{})
	list := make([]*Socket, 40)
	for i := range list {
		f := srv.open()
		f.receive("0")
		list[i] = f.c.sockets[0]
	}
	model := map[string]map[*Socket]bool{}
	rnd := rand.New(rand.NewPCG(1, 2))
	type snapshot struct{ got, copy []*Socket }
	var snapshots []snapshot
	for range 20_000 {
		s, room := list[rnd.IntN(len(list))], fmt.Sprint(rnd.IntN(12))
		if model[room] == nil {
			model[room] = map[*Socket]bool{}
		}
		switch rnd.IntN(5) {
		case 0, 1:
			_ = s.Join(t.Context(), room)
			model[room][s] = true
		case 2, 3:
			s.Leave(room)
			delete(model[room], s)
		case 4:
			got := srv.index.members(room)
			snapshots = append(snapshots, snapshot{got, slices.Clone(got)})
			if len(got) != len(model[room]) || srv.index.has(room) != (len(got) > 0) {
				t.Fatalf("%d members, want %d", len(got), len(model[room]))
			}
			for _, s := range got {
				if !model[room][s] {
					t.Fatal("not a member")
				}
			}
		}
	}
	for _, s := range snapshots {
		if !slices.Equal(s.got, s.copy) {
			t.Fatal("a snapshot has changed")
		}
	}
	for _, s := range list {
		for _, room := range s.Rooms()[1:] {
			if !model[room][s] {
				t.Fatal("rooms of a socket")
			}
		}
	}
}

// Broadcasts, joins and ends at the same time; for the race detector.
func TestRoomsConcurrently(t *testing.T) {
	srv := newPlainServer(t, Config{})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				_ = srv.To("1", "2").Except("3").Emit(context.Background(), "e")
				_ = srv.Emit(context.Background(), "e")
				_ = srv.Join(context.Background(), "9")
			}
		})
	}
	for range 2 {
		wg.Go(func() {
			for i := range 200 {
				f := srv.open()
				f.receive("0")
				s := f.c.sockets[0]
				_ = s.Join(context.Background(), "1", "2", fmt.Sprint(i%5))
				s.Leave("1", "3")
				f.end("transport close")
			}
		})
	}
	time.AfterFunc(200*time.Millisecond, func() { close(stop) })
	wg.Wait()
	if srv.Len() != 0 || len(srv.Rooms()) != 0 {
		t.Error("something is left:", srv.Len(), srv.Rooms())
	}
}

// observer is an adapter that is told of rooms.
type observer struct {
	adapter.Adapter
	mu      sync.Mutex
	rooms   map[string]int
	confirm chan struct{}
}

func (o *observer) RoomAdded(room string) <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rooms[room]++
	return o.confirm
}

func (o *observer) RoomRemoved(room string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rooms[room]--
	if o.rooms[room] == 0 {
		delete(o.rooms, room)
	}
}

// Join waits until other nodes' events for the room arrive, for at most a second
// (design.md, section 8). The adapter hears of all rooms, also of those named by
// ids, but nobody waits for these.
func TestJoinWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &observer{rooms: map[string]int{}, confirm: make(chan struct{})}
		srv := newPlainServer(t, Config{Adapter: func(h adapter.Host) (adapter.Adapter, error) {
			o.Adapter, _ = adapter.Alone(h)
			return o, nil
		}})
		if err := srv.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		f, g := srv.open(), srv.open()
		g.proto = 3
		f.receive("0")
		g.receive("0")
		s, s3 := f.c.sockets[0], g.c.sockets[0]
		begin := time.Now()
		if err := s.Join(t.Context(), "r", s.ID()); err != nil || time.Since(begin) != time.Second {
			t.Error(err, time.Since(begin))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := s3.Join(ctx, "r"); !errors.Is(err, context.DeadlineExceeded) || !s3.InRoom("r") {
			t.Error(err) // the room is held, but not confirmed yet
		}
		begin = time.Now()
		time.AfterFunc(300*time.Millisecond, func() { close(o.confirm) })
		if err := s.Join(t.Context(), "q"); err != nil || time.Since(begin) != 300*time.Millisecond {
			t.Error(err, time.Since(begin))
		}
		if err := s.Join(t.Context(), "z"); err != nil {
			t.Error(err)
		}
		rooms := maps.Clone(o.rooms)
		delete(rooms, s.ID())
		if got := fmt.Sprint(rooms); o.rooms[s.ID()] != 1 || got != "map[q:1 r:1 sid-of-the-fake-session-000.node:1 z:1]" {
			t.Error(got)
		}
		s.Leave("r")
		f.end("transport close")
		if got := fmt.Sprint(o.rooms); got != "map[r:1 sid-of-the-fake-session-000.node:1]" {
			t.Error(got)
		}
		g.end("transport close")
		if len(o.rooms) != 0 {
			t.Error(o.rooms)
		}
	})
}

func TestRoomLen(t *testing.T) {
	srv := newServer(t, Config{})
	var sockets []*Socket
	for range 3 {
		_, id := srv.join(t, "/")
		s, _ := srv.Socket(id)
		sockets = append(sockets, s)
	}
	for _, s := range sockets[:2] {
		if err := s.Join(t.Context(), "r", sockets[2].ID()); err != nil {
			t.Fatal(err)
		}
	}
	for room, want := range map[string]int{"r": 2, "nobody": 0, sockets[0].ID(): 1, sockets[2].ID(): 3} {
		if got := srv.RoomLen(room); got != want {
			t.Errorf("RoomLen(%q) = %d, want %d", room, got, want)
		}
	}
	sockets[0].Leave("r", sockets[0].ID())
	if r, own := srv.RoomLen("r"), srv.RoomLen(sockets[0].ID()); r != 1 || own != 0 {
		t.Errorf("after leaving: %d and %d, want 1 and 0", r, own)
	}
}
