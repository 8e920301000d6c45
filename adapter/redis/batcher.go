package redis

import (
	"context"
	"sync"

	goredis "github.com/redis/go-redis/v9"
)

// batchCommands is how many commands one pipeline of a batcher carries at most.
const batchCommands = 500

// batcher sends the commands of many callers in pipelines: what comes while one is
// on its way goes with the next. There is a goroutine only while something waits.
type batcher struct {
	client goredis.UniversalClient

	wg      sync.WaitGroup
	mu      sync.Mutex // guards the fields below
	waiting []*batched
	working bool
}

// batched is a command and who waits for it.
type batched struct {
	cmd  goredis.Cmder
	done chan struct{}
}

// wait waits until all that was asked for is done.
func (b *batcher) wait() { b.wg.Wait() }

// do sends a command and waits for its result, which is in cmd; the error is that of
// ctx. The command may be sent all the same then.
func (b *batcher) do(ctx context.Context, cmd goredis.Cmder) error {
	c := &batched{cmd, make(chan struct{})}
	b.mu.Lock()
	b.waiting = append(b.waiting, c)
	lead := !b.working
	b.working = true
	b.mu.Unlock()
	if lead {
		b.wg.Go(b.work) // ends when nothing waits
	}
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// work sends what waits until nothing does.
func (b *batcher) work() {
	for {
		b.mu.Lock()
		n := min(len(b.waiting), batchCommands)
		list := b.waiting[:n:n]
		b.waiting = b.waiting[n:]
		if n == 0 {
			b.waiting, b.working = nil, false
			b.mu.Unlock()
			return
		}
		b.mu.Unlock()
		b.send(list)
	}
}

func (b *batcher) send(list []*batched) {
	pipe := b.client.Pipeline()
	ctx := context.Background() // of nobody in particular: the client has its timeouts
	for _, c := range list {
		_ = pipe.Process(ctx, c.cmd)
	}
	_, _ = pipe.Exec(ctx) // each command has its error
	for _, c := range list {
		close(c.done)
	}
}
