package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/fanwire/fanwire/node"
)

// cutter makes connections and cuts them.
type cutter struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (c *cutter) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if rand.IntN(10) == 0 {
		return nil, errors.New("no route")
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err == nil {
		c.mu.Lock()
		c.conns = append(c.conns, conn)
		c.mu.Unlock()
	}
	return conn, err
}

func (c *cutter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.conns); n > 0 {
		i := rand.IntN(n)
		c.conns[i].Close()
		c.conns = append(c.conns[:i], c.conns[i+1:]...)
	}
}

// TestCuts loses connections at any moment: while they open, join, upgrade and
// close. What comes through stays in order, every Call returns, and in the end
// everything works.
func TestCuts(t *testing.T) {
	address := startNode(t, node.Config{})
	for _, m := range modes[:3] {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			cuts := new(cutter)
			o := fast(m.options)
			o.DialContext = cuts.dial
			c, err := New(address, o)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			sockets := []*Socket{c.Of("/"), c.Of("/chat")}
			for _, s := range sockets {
				increasing(t, s)
				s.Open()
			}
			var calls sync.WaitGroup
			for i := range 200 {
				s := sockets[i%2]
				_ = s.Emit(context.Background(), "echo", i)
				calls.Go(func() {
					ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
					defer cancel()
					_, _ = Call[int](ctx, s, "ask", i)
				})
				if i%10 == 0 {
					cuts.cut()
				}
				if i%50 == 25 {
					s.Disconnect()
					s.Open()
				}
				time.Sleep(time.Duration(rand.IntN(1000)) * time.Microsecond) // spreads the cuts; nothing relies on it
			}
			calls.Wait()
			ctx := testContext(t)
			for _, s := range sockets {
				for {
					if n, err := Call[int](ctx, s, "echo", 1000); err == nil && n == 1000 {
						break
					} else if !errors.Is(err, ErrDisconnected) {
						t.Fatal(n, err)
					}
				}
			}
		})
	}
}

// increasing sees to the order of echoes.
func increasing(t *testing.T, s *Socket) {
	last := -1
	On(s, "echoed", func(_ context.Context, n int) {
		if n < last {
			t.Errorf("%d after %d", n, last)
		}
		last = n
	})
	Handle(s, "question", func(_ context.Context, a Args) (Args, error) { return a, nil })
}
