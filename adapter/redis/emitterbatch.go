package redis

import (
	"context"
	"errors"
	"sync"
)

// errBatchOver says that a batch was used after its function returned.
var errBatchOver = errors.New("redis: emit: the batch is over")

// collected is what a batch sends.
type collected struct {
	mu      sync.Mutex // guards the fields below
	parcels []*parcel
	over    bool
}

func (c *collected) add(p *parcel) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return errBatchOver
	}
	c.parcels = append(c.parcels, p)
	return nil
}

// end returns what was collected; more is refused from here on.
func (c *collected) end() []*parcel {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	return c.parcels
}

// Batch calls fill with an emitter that collects what it and the emitters and
// broadcasts made from it send, and then sends it all, in as few trips to Redis as
// possible. That is many times faster than one call after the other. Their errors
// tell only of what cannot be sent; if fill returns an error nothing is sent.
//
// An error of Batch names the first message that failed. Those before it were
// published, those after it perhaps.
func (e *Emitter) Batch(ctx context.Context, fill func(e *Emitter) error) error {
	if e.batch != nil {
		return fill(e) // it is sent with the rest
	}
	c := &collected{}
	defer c.end()
	if err := fill(&Emitter{core: e.core, namespace: e.namespace, batch: c}); err != nil {
		return err
	}
	return e.core.way.send(ctx, c.end())
}
