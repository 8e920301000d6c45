package node

import (
	"context"
	"fmt"
	"sync"
)

// tasks are the goroutines that the node starts. Each ends by itself when its
// session has ended or its adapter is closed; Shutdown waits for all of them.
type tasks struct {
	mu   sync.Mutex // guards the fields below
	n    int
	idle chan struct{} // closed when n is 0; made by wait
}

// run runs f in a goroutine.
func (t *tasks) run(f func()) {
	t.mu.Lock()
	t.n++
	t.mu.Unlock()
	go func() {
		defer t.done()
		f()
	}()
}

func (t *tasks) done() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n--
	if t.n == 0 && t.idle != nil {
		close(t.idle)
		t.idle = nil
	}
}

// wait returns when no task runs, or with an error when ctx ends before.
func (t *tasks) wait(ctx context.Context) error {
	for {
		t.mu.Lock()
		n := t.n
		if n == 0 {
			t.mu.Unlock()
			return nil
		}
		if t.idle == nil {
			t.idle = make(chan struct{})
		}
		idle := t.idle
		t.mu.Unlock()
		select {
		case <-idle:
		case <-ctx.Done():
			return fmt.Errorf("%d goroutines are left: %w", n, context.Cause(ctx))
		}
	}
}
