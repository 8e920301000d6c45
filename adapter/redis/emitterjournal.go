package redis

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/adapter"
)

// Where nodes have recovery on, what an emitter sends has to be in their journal as
// well (SIO-Z-17). Nodes number what they keep, each for itself; emitters come and
// go, many of them for one event only, and every publisher makes all offsets
// longer. So the emitters of a namespace are one publisher, whose number is in
// Redis, and a script takes the number, keeps the event and publishes it in one
// step (docs/decisions/0006-emitter-journal.md).

//go:embed emitterkeep.lua
var keepSource string

var keepScript = goredis.NewScript(keepSource)

// isNoScript says that Redis does not know the script: it has begun anew.
func isNoScript(err error) bool { return err != nil && goredis.HasErrorPrefix(err, "NOSCRIPT") }

const (
	// journalAsked is how long an emitter believes that there is no journal.
	journalAsked = 10 * time.Second
	// emitterIdle is how long the name of the emitters lasts without use: nodes
	// remember it for longer (journalMargin), so that none forgets one that is used
	// again.
	emitterIdle = 15 * time.Second
)

// emitterState is the key that says where the publisher of the emitters stands.
func emitterState(key, namespace string) string {
	return "fanwire:emitter:{" + key + "#" + namespace + "}"
}

// emitterJournal is what an emitter knows of the journal of a namespace.
type emitterJournal struct {
	key, state string
	members    string // channel of all nodes: how far the emitters are
	wire       wire   // of entries
	entries    int
	bytes      int

	mu    sync.Mutex // guards the fields below
	there bool
	asked time.Time
}

// exists asks Redis, unless it is known to be there or has been asked a moment ago.
func (j *emitterJournal) exists(ctx context.Context, way *wayOut) (bool, error) {
	j.mu.Lock()
	there, asked := j.there, j.asked
	j.mu.Unlock()
	if there || !asked.IsZero() && time.Since(asked) < journalAsked {
		return there, nil
	}
	there, err := way.exists(ctx, j.key)
	if err == nil {
		j.found(there)
	}
	return there, err
}

func (j *emitterJournal) found(there bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.there, j.asked = there, time.Now()
}

// keep makes p an event that is kept.
func (j *emitterJournal) keep(p *parcel, m *adapter.Message) (err error) {
	p.journal = j
	if !isArray(p.payload) {
		p.entry, err = j.wire.appendBroadcast(nil, m)
	}
	return err
}

// command keeps and publishes.
func (j *emitterJournal) command(ctx context.Context, p *parcel) publishCmd {
	w := &wireBytes{b: p.payload}
	cmd := goredis.NewCmd(ctx, "evalsha", keepScript.Hash(), 2, j.key, j.state,
		newUID(), emitterIdle.Milliseconds(), j.entries, j.bytes, verbNames[p.verb], p.channel, j.members, w, p.entry)
	return publishCmd{cmd, w}
}

// confirmed takes the answer of the script: 0 if the journal is gone.
func (j *emitterJournal) confirmed(c publishCmd) {
	if answer, ok := c.Cmder.(*goredis.Cmd); ok {
		if kept, err := answer.Int(); err == nil && kept == 0 {
			j.found(false)
		}
	}
}

// learnEmitters takes the number of the emitters, who send no ticks: what they keep
// next must not look like a gap.
func (j *journal) learnEmitters(ctx context.Context) error {
	state, err := j.member.link.reader.HMGet(ctx, emitterState(j.member.cfg.Key, j.wire.namespace), "p", "n").Result()
	if err != nil {
		return fmt.Errorf("redis: read the journal: %w", err)
	}
	name, _ := state[0].(string)
	number, _ := state[1].(string)
	if n, err := strconv.ParseUint(number, 10, 64); err == nil && name != "" && len(name) <= maxUID {
		j.pos.raise(name, n)
	}
	return nil
}

// exists asks for a key.
func (w *wayOut) exists(ctx context.Context, key string) (there bool, _ error) {
	ctx, cancel := w.withTimeout(ctx)
	defer cancel()
	err := w.retry(ctx, func() (bool, error) {
		server, err := w.serverOf(ctx, key)
		if err != nil {
			return true, err
		}
		n, err := server.Exists(ctx, key).Result()
		there = n > 0
		return !isRefusal(err) || isElsewhere(err), err
	})
	if err != nil {
		err = fmt.Errorf("look for a journal: %w", err)
	}
	return there, err
}
