package engine

import (
	"context"
	"fmt"
	"sync"
)

// Group counts goroutines, like sync.WaitGroup, but may be waited for with a
// context and grow while somebody waits. Package node uses it too.
type Group struct {
	mu   sync.Mutex // guards the fields below
	n    int
	idle chan struct{} // closed when n is 0; made by who waits
}

// Add changes the number by n.
func (g *Group) Add(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.n += n
	if g.n == 0 && g.idle != nil {
		close(g.idle)
		g.idle = nil
	}
}

// Done is Add(-1).
func (g *Group) Done() { g.Add(-1) }

// Go runs f in a goroutine of the group.
func (g *Group) Go(f func()) {
	g.Add(1)
	go func() {
		defer g.Done()
		f()
	}()
}

// Wait returns when the group is, or has been, empty, or with an error when ctx
// ends before.
func (g *Group) Wait(ctx context.Context) error {
	g.mu.Lock()
	n := g.n
	if n == 0 {
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
		return fmt.Errorf("%d goroutines are left: %w", n, context.Cause(ctx))
	}
}
