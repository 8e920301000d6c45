package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fanwire/fanwire/adapter"
)

// life is one connection of a client that can recover.
type life struct {
	*peer
	id, pid, offset string
	missed          []string // what came before the CONNECT, without offsets
}

// begin connects a client to a namespace; before says which life it continues.
func begin(t testing.TB, ts *testServer, ns string, before *life) *life {
	t.Helper()
	ts.ready(t)
	l := &life{peer: ts.dial(t)}
	auth := ""
	if before != nil {
		l.offset = before.offset
		auth = fmt.Sprintf(`{"pid":%q,"offset":%q}`, before.pid, before.offset)
		if before.offset == "" {
			auth = fmt.Sprintf(`{"pid":%q}`, before.pid)
		}
	}
	l.send("40" + prefix(ns) + auth)
	for {
		frame := l.read()
		if data, ok := strings.CutPrefix(frame, "40"+prefix(ns)); ok {
			var answer struct{ SID, PID string }
			if json.Unmarshal([]byte(data), &answer) != nil || len(answer.PID) != 20 {
				t.Fatalf("CONNECT: %s", frame)
			}
			l.id, l.pid = answer.SID, answer.PID
			return l
		}
		l.missed = append(l.missed, l.event(frame))
	}
}

// event takes the offset off an event.
func (l *life) event(frame string) string {
	l.t.Helper()
	i := strings.IndexByte(frame, '[')
	var args []json.RawMessage
	if i < 0 || frame[:2] != "42" || json.Unmarshal([]byte(frame[i:]), &args) != nil || len(args) < 2 {
		l.t.Fatalf("not an event with an offset: %q", frame)
	}
	if err := json.Unmarshal(args[len(args)-1], &l.offset); err != nil {
		l.t.Fatalf("not an offset: %q", frame)
	}
	text, _ := json.Marshal(args[:len(args)-1])
	return string(text)
}

// want reads events and compares them.
func (l *life) want(events ...string) {
	l.t.Helper()
	for _, want := range events {
		if got := l.event(l.read()); got != want {
			l.t.Fatalf("got %s, want %s", got, want)
		}
	}
}

// cut ends the connection without a word, and waits until the server knows.
func (l *life) cut(ns *Namespace) {
	l.t.Helper()
	l.ws.Close()
	l.ended(ns)
}

// ended waits until the server has the last record of the session: later than the
// socket is connected no more.
func (l *life) ended(ns *Namespace) {
	l.t.Helper()
	eventually(l.t, "the end of the socket", func() bool { return ns.index.socket(l.id) == nil })
}

func recovering(cfg Config) Config {
	cfg.Recovery = new(Recovery)
	return cfg
}

func TestRecovery(t *testing.T) {
	ctx := t.Context()
	for name, factory := range map[string]adapter.Factory{"no adapter": nil, "alone": adapter.Alone, "hub": new(adapter.Hub).Factory} {
		t.Run(name, func(t *testing.T) {
			srv := newServer(t, recovering(Config{Adapter: factory}))
			ns := srv.Of("/chat")
			type user struct{ Name string }
			sockets := make(chan *Socket, 10)
			ns.OnConnect(func(ctx context.Context, s *Socket) error {
				if !s.Recovered() {
					s.SetData(user{"bob"})
					if err := s.Join(ctx, "r"); err != nil {
						return err
					}
				}
				sockets <- s
				return nil
			})
			l := begin(t, srv, "/chat", nil)
			first := recv(t, sockets)
			if first.Recovered() {
				t.Error("recovered from nothing")
			}
			_ = ns.Emit(ctx, "one", 1, []byte("x"))
			if got := l.read(); !strings.HasPrefix(got, `451-/chat,["one",1,{"_placeholder":true,"num":0},"`) {
				t.Fatal(got)
			}
			l.read()
			_ = first.Emit(ctx, "two")
			l.want(`["two"]`)
			_ = ns.Volatile().Emit(ctx, "three")
			l.want(`["three"]`)
			for round := range 10 {
				l.cut(ns)
				_ = ns.Emit(ctx, "all", round)
				_ = ns.To("r").Emit(ctx, "room")
				_ = ns.To(l.id).Emit(ctx, "id")
				_ = ns.To("r").Local().Emit(ctx, "local")
				_ = ns.To("other").Emit(ctx, "other room")
				_ = ns.Except("r").Emit(ctx, "excepted")
				_ = ns.Volatile().Emit(ctx, "volatile")
				for range CallAll[int](expired(t), ns.All(), "call") {
				}
				if err := first.Emit(ctx, "ended"); !errors.Is(err, ErrDisconnected) {
					t.Error(err)
				}
				next := begin(t, srv, "/chat", l)
				if next.id != l.id || next.pid != l.pid {
					t.Fatalf("round %d: a new session: %v", round, srv.Stats().NotRecovered)
				}
				if got := fmt.Sprint(next.missed); got != fmt.Sprintf(`[["all",%d] ["room"] ["id"] ["local"]]`, round) {
					t.Fatalf("round %d: missed %s", round, got)
				}
				s := recv(t, sockets)
				if data, ok := Data[user](s); !s.Recovered() || !ok || data.Name != "bob" {
					t.Errorf("round %d: data %+v, %v", round, data, ok)
				}
				if rooms := s.Rooms(); !slices.Equal(rooms, []string{l.id, "r"}) {
					t.Errorf("round %d: rooms %q", round, rooms)
				}
				_ = s.Emit(ctx, "back")
				_ = ns.To("r").Emit(ctx, "live")
				next.want(`["back"]`, `["live"]`)
				first, l = s, next
			}
		})
	}
}

// expired returns a context that is over.
func expired(t testing.TB) context.Context {
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	t.Cleanup(cancel)
	return ctx
}
