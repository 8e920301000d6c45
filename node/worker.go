package node

import (
	"sync"

	"github.com/fanwire/fanwire/node/internal/engine"
)

// worker runs jobs one after the other in a goroutine that lives while there are
// any. The zero worker is ready.
type worker struct {
	mu      sync.Mutex // guards the fields below
	jobs    []func()
	running bool
}

// do queues a job; false if limit jobs wait.
func (w *worker) do(t *engine.Group, limit int, job func()) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.jobs) >= limit {
		return false
	}
	w.jobs = append(w.jobs, job)
	if !w.running {
		w.running = true
		t.Go(w.run)
	}
	return true
}

func (w *worker) run() {
	for {
		w.mu.Lock()
		jobs := w.jobs
		w.jobs = nil
		w.running = len(jobs) > 0
		w.mu.Unlock()
		if len(jobs) == 0 {
			return
		}
		for _, job := range jobs {
			job()
		}
	}
}
