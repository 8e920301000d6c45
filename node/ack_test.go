package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Acks of one client, in all their forms.
func TestCall(t *testing.T) {
	srv := newServer(t, Config{})
	p, id := srv.join(t, "/")
	s, _ := srv.Socket(id)
	ctx := t.Context()
	answer := func(frames ...string) {
		p.t.Helper()
		p.read()
		p.send(frames...)
	}
	go answer(`430["yes",2]`)
	if v, err := Call[string](ctx, s, "q", 1); v != "yes" || err != nil {
		t.Error(v, err)
	}
	go answer(`431["yes",2]`)
	if v, err := Call[Tuple2[string, int]](ctx, s, "q", 1); v.B != 2 || err != nil {
		t.Error(v, err)
	}
	go answer(`432[]`)
	if v, err := Call[*int](ctx, s, "q"); v != nil || err != nil {
		t.Error(v, err)
	}
	go answer(`461-3[`+ph0+`,1]`, "bin:xyz")
	if v, err := Call[Args](ctx, s, "q"); v.Len() != 2 || string(v.Attachments()[0]) != "xyz" || err != nil {
		t.Error(v, err)
	}
	go answer(`434["text"]`)
	if _, err := Call[int](ctx, s, "q"); err == nil {
		t.Error("a text as int")
	}
	// Unknown and used ids are ignored (SIO-M-18).
	go answer(`4377["x"]`, `430["x"]`, `43["x"]`, `435[5]`)
	if v, err := Call[int](ctx, s, "q"); v != 5 || err != nil {
		t.Error(v, err)
	}
	if n := srv.Stats().UnknownAcks; n != 3 {
		t.Errorf("%d unknown acks", n)
	}
	if _, err := Call[int](ctx, s, "connect"); !errors.Is(err, ErrReservedEvent) {
		t.Error(err)
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := Call[int](canceled, s, "q"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	p.read()
	go func() {
		p.read()
		p.ws.Close()
	}()
	if _, err := Call[int](ctx, s, "q"); !errors.Is(err, ErrDisconnected) {
		t.Error(err)
	}
	if _, err := Call[int](ctx, s, "q"); !errors.Is(err, ErrDisconnected) {
		t.Error(err)
	}
	if len(s.calls) != 0 {
		t.Error("calls are left")
	}
}

func TestCallTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newPlainServer(t, Config{Limits: Limits{Calls: 2}})
		f := srv.open()
		f.receive("0")
		s := f.c.sockets[0]
		begin := time.Now()
		_, err := Call[int](t.Context(), s, "q")
		if !errors.Is(err, ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 10*time.Second { // HRD-46
			t.Error(err, time.Since(begin))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begin = time.Now()
		results := make(chan error, 3)
		for range 3 {
			go func() {
				_, err := Call[int](ctx, s, "q")
				results <- err
			}()
		}
		if err := <-results; !errors.Is(err, ErrTooManyCalls) {
			t.Error(err)
		}
		for range 2 {
			if err := <-results; !errors.Is(err, ErrTimeout) || time.Since(begin) != time.Minute {
				t.Error(err)
			}
		}
		f.receive(`31[1]`) // too late
		if n := srv.Stats().UnknownAcks; n != 1 {
			t.Error(n)
		}
		f.end("transport close")
	})
}

// Acks of several clients (section 11).
func TestCallAll(t *testing.T) {
	srv := newServer(t, Config{})
	withSync(srv)
	var peers []*peer
	for range 3 {
		p, _ := srv.join(t, "/")
		peers = append(peers, p)
	}
	var answering sync.WaitGroup
	for i, p := range peers {
		answering.Go(func() {
			q := p.read() // one id for all (SIO-A-02)
			frames := []string{`430["A",1]`, `430[]`, `430["C"]`}[i]
			if q != `420["q",7]` {
				t.Error(q)
			}
			p.send(frames, frames) // the second one is ignored (SIO-A-05)
		})
	}
	var got []string
	for v, err := range CallAll[*string](t.Context(), srv.All(), "q", 7) {
		if err != nil {
			t.Fatal(err)
		}
		if v == nil {
			got = append(got, "null") // SIO-A-04
			continue
		}
		got = append(got, *v)
	}
	if fmt.Sprint(sorted(got)) != "[A C null]" {
		t.Error(got)
	}
	for range CallAll[int](t.Context(), srv.To("nobody"), "q") { // SIO-A-07
		t.Error("an answer")
	}
	for _, err := range CallAll[int](t.Context(), srv.All(), "disconnect") {
		if !errors.Is(err, ErrReservedEvent) {
			t.Error(err)
		}
	}
	// Who does not answer, or not what was asked for.
	for i, p := range peers {
		answering.Go(func() {
			p.read()
			p.send([]string{`432["no int"]`, `432[2]`, `42["late"]`}[i])
		})
	}
	ctx := newExpiring(t)
	sum, bad := 0, 0
	var partial *PartialError
	for v, err := range CallAll[int](ctx, srv.All(), "q") {
		if partial != nil {
			t.Error("something after the PartialError")
		}
		if err != nil && !errors.As(err, &partial) {
			bad++
		}
		if sum += v; sum == 2 && bad == 1 {
			ctx.expire()
		}
	}
	if sum != 2 || bad != 1 || partial == nil || partial.Got != 2 || partial.Want != 3 || !errors.Is(partial, ErrTimeout) {
		t.Error(sum, bad, partial)
	}
	answering.Wait() // nobody waits for the last of what they send
	// A caller that has enough.
	go func() { peers[0].read(); peers[0].send(`433[1]`) }()
	for range CallAll[int](t.Context(), srv.All(), "q") {
		break
	}
	if srv.pending.len() != 0 || len(srv.requests.byID) != 0 {
		t.Error("something is left")
	}
}

// Volatile events, single and broadcast, are dropped when they cannot leave
// (SIO-V-08).
func TestVolatile(t *testing.T) {
	srv := newPlainServer(t, Config{})
	list := fakeClients(srv, 3)
	s := list[0].c.sockets[0]
	list[0].busy = true
	ctx := t.Context()
	if err := s.Volatile().Emit(ctx, "v"); err != nil {
		t.Error(err)
	}
	if err := s.Compress(false).Volatile().Emit(ctx, "v"); err != nil {
		t.Error(err)
	}
	if err := s.Compress(false).Emit(ctx, "v"); err != nil {
		t.Error(err)
	}
	if err := srv.Volatile().Emit(ctx, "v"); err != nil {
		t.Error(err)
	}
	var sent []int
	for _, f := range list {
		sent = append(sent, f.packets)
	}
	if !slices.Equal(sent, []int{1, 1, 1}) {
		t.Error(sent)
	}
	if st := srv.Stats(); st.VolatileDropped != 3 || st.Delivered != 2 {
		t.Error(st)
	}
	list[1].end("transport close")
	if err := list[1].c.srv.Volatile().Emit(ctx, "v"); err != nil {
		t.Error(err)
	}
}

func TestCatchAllOutgoing(t *testing.T) {
	srv := newServer(t, Config{})
	seen := make(chan string, 10)
	srv.OnAnyOutgoing(func(_ context.Context, s *Socket, event string, a Args) {
		seen <- fmt.Sprint(event, a, len(a.Attachments()))
	})
	Handle(srv, "ping", func(context.Context, *Socket, None) (int, error) { return 1, nil })
	p, id := srv.join(t, "/")
	s, _ := srv.Socket(id)
	ctx := t.Context()
	for _, err := range []error{
		s.Emit(ctx, "one", 1, "a,b"),
		s.Emit(ctx, "none"),
		s.Emit(ctx, `qu"oted`, Binary{1}),
		srv.Emit(ctx, "all", []int{1}),
		srv.Emit(ctx, `é"`, Binary{1}),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	p.send(`421["ping"]`) // not acks, not CONNECT (SIO-V-11)
	for _, want := range []string{`one[1,"a,b"]0`, `none[]0`, `qu"oted[` + ph0 + `]1`, `all[[1]]0`, `é"[` + ph0 + `]1`} {
		if got := recv(t, seen); strings.ReplaceAll(got, " ", "") != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	for f := p.read(); f != `431[1]`; f = p.read() {
	}
	if len(seen) != 0 {
		t.Error(<-seen)
	}
}
