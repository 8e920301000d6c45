package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanwire/fanwire/adapter"
)

// lazy is an adapter that starts when it may.
type lazy struct {
	adapter.Adapter
	may    chan struct{}
	ready  error
	closed *atomic.Int32
}

func (l *lazy) Start(ctx context.Context) error {
	select {
	case <-l.may:
		return l.Adapter.Start(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *lazy) Ready() error { return l.ready }

func (l *lazy) Close(ctx context.Context) error {
	l.closed.Add(1)
	return l.Adapter.Close(ctx)
}

// lazyFactory makes adapters that wait for the channel.
func lazyFactory(may chan struct{}, ready error, closed *atomic.Int32) adapter.Factory {
	return func(h adapter.Host) (adapter.Adapter, error) {
		a, err := adapter.Alone(h)
		return &lazy{a, may, ready, closed}, err
	}
}

// A broker that does not answer at the start holds clients and events up for
// startWait at most, and Shutdown not at all. The node is not ready meanwhile.
func TestAdapterAwayAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var closed atomic.Int32
		srv := newPlainServer(t, Config{Adapter: lazyFactory(make(chan struct{}), nil, &closed)})
		begin := time.Now()
		f := srv.open()
		f.receive("0")
		if err := srv.Emit(t.Context(), "e"); err != nil || time.Since(begin) != startWait {
			t.Error(err, time.Since(begin))
		}
		synctest.Wait()
		if srv.Len() != 1 {
			t.Error("not in after startWait")
		}
		short, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := srv.Ready(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Error("ready before Start has returned:", err)
		}
		cancel()
		begin = time.Now()
		if err := srv.Of("/other").Emit(short, "e"); err != nil || time.Since(begin) != 0 {
			t.Error(err, time.Since(begin)) // the caller does not wait longer than it wants to
		}
		g := srv.open()
		g.receive("0") // no wait at all, from now on
		if srv.Len() != 2 || time.Since(begin) != 0 {
			t.Error(srv.Len(), time.Since(begin))
		}
		f.end("transport close")
		g.end("transport close")
		if err := srv.Shutdown(t.Context()); err != nil || closed.Load() != 2 || time.Since(begin) != 0 {
			t.Error(err, closed.Load(), time.Since(begin))
		}
		if err := srv.Of("/new").Emit(t.Context(), "e"); err != nil {
			t.Error(err) // nobody is there, and nothing waits
		}
	})
}

// A namespace that goes while its adapter starts ends the start, then closes it.
func TestNamespaceGoesWhileAdapterStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var closed atomic.Int32
		srv := newPlainServer(t, Config{Adapter: lazyFactory(make(chan struct{}), nil, &closed)})
		srv.OfPattern("/n/{id}")
		f := srv.open()
		f.receive("0/n/1,")
		time.Sleep(startWait) // of the bubble's clock
		synctest.Wait()
		f.end("transport close")
		synctest.Wait()
		if n := len(srv.Namespaces()); n != 1 || closed.Load() != 1 {
			t.Error(n, closed.Load())
		}
	})
}

func TestReady(t *testing.T) {
	var closed atomic.Int32
	may := make(chan struct{})
	close(may)
	missing := errors.New("2 subscriptions are missing")
	srv := newPlainServer(t, Config{Adapter: lazyFactory(may, missing, &closed)})
	if err := srv.Ready(t.Context()); !errors.Is(err, missing) || !strings.Contains(err.Error(), `"/"`) {
		t.Error(err)
	}
	up := newPlainServer(t, Config{})
	if err := up.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 { // asked without time to wait, the answer is the same each time
		if err := up.Ready(ended); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFactoryFails(t *testing.T) {
	broken := errors.New("broken")
	only := func(name string) adapter.Factory {
		return func(h adapter.Host) (adapter.Adapter, error) {
			if strings.HasPrefix(h.Namespace(), name) {
				return nil, broken
			}
			return adapter.Alone(h)
		}
	}
	if _, err := New(Config{Adapter: only("/")}); !errors.Is(err, broken) {
		t.Error(err)
	}
	srv := newServer(t, Config{Adapter: only("/x")})
	srv.OfPattern("/x/{id}")
	p := srv.dial(t)
	p.send("40/x/1,")
	p.expect(`44/x/1,{"message":"Invalid namespace"}`)
	defer func() {
		if err, _ := recover().(error); !errors.Is(err, broken) {
			t.Error(err)
		}
	}()
	srv.Of("/x")
}

// Dynamic namespaces close their adapters when they go, and what those counted
// stays.
func TestDynamicNamespacesInCluster(t *testing.T) {
	var hub adapter.Hub
	var servers []*testServer
	var peers []*peer
	for range 2 {
		srv := newServer(t, Config{Adapter: hub.Factory})
		n := srv.OfPattern("/n/{id}")
		On(n, "say", func(ctx context.Context, s *Socket, text string) error { return s.Broadcast().Emit(ctx, "said", text) })
		servers = append(servers, srv)
		p := srv.dial(t)
		p.connect("/n/1", "")
		srv.ready(t)
		peers = append(peers, p)
	}
	peers[0].send(`42/n/1,["say","hi"]`)
	peers[1].expect(`42/n/1,["said","hi"]`)
	peers[0].send("41/n/1,")
	eventually(t, "freed", func() bool { return len(servers[0].Namespaces()) == 1 })
	eventually(t, "closed", func() bool {
		ns, _ := servers[1].Lookup("/n/1")
		n, err := ns.adapter.ServerCount(t.Context())
		return n == 1 && err == nil
	})
	eventually(t, "counted", func() bool { return servers[0].Stats().Adapter.Published == 1 })
	peers[0].connect("/n/1", "")
	servers[0].ready(t)
	peers[1].send(`42/n/1,["say","again"]`)
	peers[0].expect(`42/n/1,["said","again"]`)
}

// Events of other nodes that come while sockets come and go; for the race
// detector.
func TestClusterConcurrently(t *testing.T) {
	var hub adapter.Hub
	hub.Selective = true
	a, b := newPlainServer(t, Config{Adapter: hub.Factory}), newPlainServer(t, Config{Adapter: hub.Factory})
	for _, srv := range []*Server{a, b} {
		if err := srv.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 100 {
			f := b.open()
			f.receive("0")
			f.c.mu.Lock()
			sockets := slices.Clone(f.c.sockets)
			f.c.mu.Unlock()
			for _, s := range sockets { // none if it was disconnected at once
				_ = s.Join(context.Background(), "r", fmt.Sprint(i))
			}
			f.receive("1")
			f.end("transport close")
		}
	}()
	ctx := t.Context()
	for i := 0; ; i++ {
		select {
		case <-done:
			return
		default:
		}
		_ = a.To("r").Emit(ctx, "e")
		_ = a.In("r").Join(ctx, "x")
		_ = a.In("x").Leave(ctx, "x")
		for range a.Sockets(ctx) {
		}
		if i%10 == 0 {
			_ = a.Disconnect(ctx, false)
		}
	}
}

func TestErrorTexts(t *testing.T) {
	cause := errors.New("cause")
	for _, test := range []struct {
		err  error
		want string
	}{
		{ErrTimeout, "node: operation has timed out"},
		{&ConnectError{Message: "no"}, "no"},
		{&AckError{}, "node: answered with an error"},
		{&AckError{Err: cause}, "cause"},
		{&HandlerError{Where: "event", Event: "e", Err: cause}, `node: handler of event "e": cause`},
		{&HandlerError{Where: "connect", Err: cause}, "node: connect handler: cause"},
		{&PartialError{Op: "call", Got: 1, Want: 2, Err: cause}, "node: call: 1 of 2 answered: cause"},
		{&PartialError{Op: "call", Want: -1, Missing: []string{"a", "b"}, Err: cause}, "node: call: 0 of ? answered (not a, b): cause"},
	} {
		if got := test.err.Error(); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
	if e, ok := ErrTimeout.(interface{ Timeout() bool }); !ok || !e.Timeout() {
		t.Error("no timeout")
	}
	if !errors.Is(&AckError{Err: cause}, cause) || !errors.Is(&PartialError{Err: cause}, cause) {
		t.Error("Unwrap")
	}
	a, err := NewArgs(1, "x", Binary{2})
	if err != nil || a.Len() != 3 || a.String() != `[1,"x",`+ph0+`]` {
		t.Error(a, err)
	}
}

func TestRawArgs(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for raw, atts := range map[string]int{
		"": 0, " 1 , 2": 0, ph0: 1, `{"a":[` + ph0 + `]}`: 1, deep(127): 0,
		`{"_placeholder":true,"num":-1}`: 0, // nothing is one without attachments
	} {
		a, err := RawArgs([]byte(raw), make([][]byte, atts))
		if err != nil || len(a.Attachments()) != atts || string(a.JSON()) != strings.TrimSpace(raw) {
			t.Errorf("%.50s: %.50s, %v", raw, a, err)
		}
	}
	for raw, atts := range map[string]int{
		"[": 0, "1]": 0, "1,": 0, ",1": 0, "1 2": 0, "'x'": 0, "\"\xff\"": 0, deep(128): 0,
		`{"_placeholder":true,"num":1}`:    1,
		`{"_placeholder":true,"num":"0"}`:  1,
		`{"_placeholder":true,"num":1e99}`: 1,
	} {
		if a, err := RawArgs([]byte(raw), make([][]byte, atts)); err == nil {
			t.Errorf("%.50s is taken for %.50s", raw, a)
		}
	}
}
