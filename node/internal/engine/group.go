package engine

import (
	"context"
	"sync"
)

// group counts goroutines, like sync.WaitGroup, but may be waited for with a
// context and grow while somebody waits.
type group struct {
	mu   sync.Mutex
	n    int
	idle chan struct{} // closed when n is 0; made by who waits
}

func (g *group) Add(n int) {
	g.mu.Lock()
	g.n += n
	if g.n == 0 && g.idle != nil {
		close(g.idle)
		g.idle = nil
	}
	g.mu.Unlock()
}

func (g *group) Done() { g.Add(-1) }

// Go runs f in a goroutine of the group.
func (g *group) Go(f func()) {
	g.Add(1)
	go func() {
		defer g.Done()
		f()
	}()
}

// Wait returns when the group is empty or ctx has ended.
func (g *group) Wait(ctx context.Context) error {
	g.mu.Lock()
	if g.n == 0 {
		g.mu.Unlock()
		return nil
	}
	if g.idle == nil {
		g.idle = make(chan struct{})
	}
	idle := g.idle
	g.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
