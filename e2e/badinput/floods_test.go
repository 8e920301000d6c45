package badinput

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fanwire/fanwire/node"
)

func TestB37Namespaces(t *testing.T) {
	row(t, options{}, func(t *testing.T, s *stack) {
		for _, m := range []string{
			"40/" + strings.Repeat("a", 900_000) + ",", "40/" + strings.Repeat("a", 256) + ",", "40/\x00,", "40a,",
		} {
			s.closes(t, m)
		}
		for m, answer := range map[string]string{
			"40/" + strings.Repeat("a", 255) + ",": "/" + strings.Repeat("a", 255),
			"40//,":                                "//",
			"40/nope":                              "/nope",
		} {
			p := s.session(t)
			p.send(m)
			p.expect("44" + answer + `,{"message":"Invalid namespace"}`)
			p.send("40")
			p.read()
			p.alive()
			p.close()
		}
		for _, m := range []string{"40/,", "40/a?x=1,"} { // the main one, and /a with a query
			p := s.session(t)
			p.send(m)
			if got := p.read(); !strings.HasPrefix(got, `40{"sid":"`) && !strings.HasPrefix(got, `40/a,{"sid":"`) && !strings.HasPrefix(got, `44/a`) {
				t.Errorf("%s: %q", m, got)
			}
			p.close()
		}
	})
}

func TestB37RefusedNamespaces(t *testing.T) {
	var flood bytes.Buffer
	for i := range 100_000 {
		flood.Write(frame(text, fmt.Sprintf("40/x%d,", i)))
	}
	row(t, options{}, func(t *testing.T, s *stack) {
		defer s.watch(t)()
		p := s.client(t)
		sent := p.pour(flood.Bytes(), 1)
		eventually(t, "the session is closed", func() bool { return s.node.Stats().Sessions == 1 })
		<-sent
		if n := s.node.Stats().ConnectsRefused; n != 101 {
			t.Errorf("%d refusals", n)
		}
		p.close()
	})
}

func TestB37DynamicNamespaces(t *testing.T) {
	row(t, options{}, func(t *testing.T, s *stack) {
		s.node.OfFunc(func(_ context.Context, name string, _ json.RawMessage) bool { return strings.HasPrefix(name, "/dyn-") })
		gauge := s.node.Stats().Namespaces
		p := s.client(t)
		for i := range 60 {
			p.send(fmt.Sprintf("40/dyn-%d,", i))
		}
		joined, refused := 0, 0
		for joined+refused < 60 {
			switch got := p.read(); {
			case strings.HasPrefix(got, "40/dyn-"):
				joined++
			case strings.HasSuffix(got, `,{"message":"Too many namespaces"}`):
				refused++
			default:
				t.Fatalf("got %q", got)
			}
		}
		if joined != 31 || s.node.Stats().Namespaces != gauge+31 { // and "/"
			t.Errorf("%d joined, %d namespaces", joined, s.node.Stats().Namespaces)
		}
		p.alive()
		var flood bytes.Buffer
		for i := range 50_000 {
			flood.Write(frame(text, fmt.Sprintf("40/dyn-%d,", 100+i)))
		}
		p.pour(flood.Bytes(), 1)
		p.closed(1005)
		eventually(t, "the namespaces are freed", func() bool { return s.node.Stats().Namespaces == gauge })
	})
}

func TestB38Rooms(t *testing.T) {
	row(t, options{}, func(t *testing.T, s *stack) {
		var joined, refused atomic.Int64
		node.On(s.node, "join", func(ctx context.Context, so *node.Socket, room string) error {
			if err := so.Join(ctx, room); err != nil {
				refused.Add(1)
				return nil
			}
			joined.Add(1)
			return nil
		})
		n := scaled(200_000, 20_000)
		p := s.client(t)
		for i := 0; i < n; i += 100 {
			var part []byte
			for j := range 100 {
				part = append(part, frame(text, fmt.Sprintf(`42["join","room %d"]`, i+j))...)
			}
			p.raw(part)
		}
		p.alive()
		// The room of its own id may be one of them.
		if j, r := joined.Load(), refused.Load(); j < 9_999 || j > 10_000 || j+r != int64(n) {
			t.Errorf("%d joined, %d refused", j, r)
		}
		p.close()
		eventually(t, "the rooms are freed", func() bool { return len(s.node.Rooms()) == 0 })
	})
}

func TestB38Acks(t *testing.T) {
	row(t, options{}, func(t *testing.T, s *stack) {
		defer s.watch(t)()
		sockets := make(chan *node.Socket, 1)
		node.On(s.node, "me", func(_ context.Context, so *node.Socket, _ node.None) error { sockets <- so; return nil })
		p := s.client(t)
		p.send(`42["me"]`)
		so := <-sockets
		var ended atomic.Int64
		var calls sync.WaitGroup
		ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
		defer cancel()
		for range 1000 {
			calls.Go(func() {
				if _, err := node.Call[node.None](ctx, so, "ask"); errors.Is(err, node.ErrDisconnected) {
					ended.Add(1)
				}
			})
		}
		for range 1000 {
			if got := p.read(); !strings.HasSuffix(got, `["ask"]`) {
				t.Fatalf("got %q", got)
			}
		}
		for range scaled(199_000, 19_000) {
			if _, err := node.Call[node.None](ctx, so, "ask"); !errors.Is(err, node.ErrTooManyCalls) {
				t.Fatalf("one call too many: %v", err)
			}
		}
		p.close()
		calls.Wait()
		if n := ended.Load(); n != 1000 {
			t.Errorf("%d of 1000 calls have ended with the socket", n)
		}
	})
}

func TestB38Unhandled(t *testing.T) {
	flood := bytes.Repeat(frame(text, `42["nope"]`), 1000)
	row(t, options{}, func(t *testing.T, s *stack) { // no rates: the library's default
		n := scaled(1000, 100)
		p := s.client(t)
		begin := time.Now()
		<-p.pour(flood, n)
		p.alive()
		t.Logf("%v a message", time.Since(begin)/time.Duration(n*1000))
		p.close()
		if got := s.node.Stats().EventsUnhandled; got != uint64(n*1000) {
			t.Errorf("%d events", got)
		}
	})
}

func TestB38Rates(t *testing.T) {
	slowRow(t, limited, func(t *testing.T, s *stack) {
		p := s.client(t)
		sent := p.pour(bytes.Repeat(frame(text, `42["nope"]`), 1000), 1000)
		if reason := p.closed(1008); reason != "rate limit exceeded" {
			t.Errorf("reason %q", reason)
		}
		<-sent
		if n := s.node.Stats().EventsUnhandled; n < 2000 || n > 2000+500*15 {
			t.Errorf("%d events were taken", n)
		}
	})
}

// sendUntilEnd emits to a socket until it has ended.
func sendUntilEnd(t *testing.T, so *node.Socket, n, size int) (sent int) {
	t.Helper()
	value := strings.Repeat("x", size)
	for range n {
		if so.Emit(context.Background(), "data", value) != nil || !so.Connected() {
			return sent
		}
		sent++
	}
	return sent
}

func TestB39StoppedReaders(t *testing.T) {
	row(t, options{}, func(t *testing.T, s *stack) {
		defer s.watch(t)()
		sockets := make(chan *node.Socket, 1)
		ended := make(chan node.Disconnect, 10)
		var mine sync.Map // others, from before, may end late
		node.On(s.node, "me", func(_ context.Context, so *node.Socket, _ node.None) error {
			mine.Store(so.ID(), true)
			sockets <- so
			return nil
		})
		s.node.OnDisconnect(func(_ context.Context, so *node.Socket, d node.Disconnect) {
			if _, ok := mine.Load(so.ID()); ok {
				ended <- d
			}
		})
		checkEnd := func(name string, begin time.Time) {
			t.Helper()
			select {
			case d := <-ended:
				if d.Reason != node.ReasonForcedClose || d.Cause == nil || d.Cause.Error() != "slow consumer" {
					t.Errorf("%s: %+v", name, d)
				}
			case <-time.After(patience):
				t.Errorf("%s: not closed", name)
			}
			t.Logf("%s: closed after %v", name, time.Since(begin))
		}

		p := s.client(t)
		p.send(`42["me"]`)
		begin := time.Now()
		sent := sendUntilEnd(t, <-sockets, scaled(300_000, 30_000), 1024)
		if sent < 1000 || sent > 25_000 { // the kernel takes some megabytes
			t.Errorf("%d KiB were taken", sent)
		}
		checkEnd("WebSocket", begin)
		p.close()

		q := s.polling(t)
		q.ok(`42["me"]`)
		begin = time.Now()
		if sent := sendUntilEnd(t, <-sockets, scaled(100_000, 10_000), 1024); sent < 900 || sent > 1100 {
			t.Errorf("%d KiB were taken by a queue of 1 MiB", sent)
		}
		checkEnd("polling", begin)
		q.closed()
		if n := s.node.Stats().SlowConsumers; n != 2 {
			t.Errorf("%d slow consumers", n)
		}
	})
}

func TestB39Broadcast(t *testing.T) {
	const messages, size = 400, 64 << 10
	row(t, options{}, func(t *testing.T, s *stack) {
		node.On(s.node, "in", func(ctx context.Context, so *node.Socket, _ node.None) error { return so.Join(ctx, "r") })
		member := func() *peer {
			p := s.client(t)
			p.send(`42["in"]`)
			p.alive()
			return p
		}
		stopped := member()
		var readers sync.WaitGroup
		took := make(chan struct{}, 10*messages)
		for range 10 {
			p := member()
			readers.Go(func() {
				for i := range messages {
					got := p.read()
					for ; got == "2"; got = p.read() {
						p.send("3")
					}
					if want := fmt.Sprintf(`42["b",%d,"`, i); len(got) < size || !strings.HasPrefix(got, want) {
						t.Errorf("message %d is %.40q", i, got)
						return
					}
					took <- struct{}{}
				}
				p.close()
			})
		}
		value := strings.Repeat("x", size)
		for i := range messages {
			if err := s.node.To("r").Emit(t.Context(), "b", i, value); err != nil {
				t.Fatal(err)
			}
			for range 10 { // as fast as the others read
				select {
				case <-took:
				case <-time.After(patience):
					t.Fatal("a reader waits")
				}
			}
		}
		readers.Wait()
		eventually(t, "the stopped reader is closed", func() bool { return s.node.Stats().SlowConsumers == 1 })
		stopped.close()
	})
}
