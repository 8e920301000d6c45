// Package rules is what the configured namespaces do with clients and their events:
// who gets in, which rooms it is in, and where what it sends goes. The configuration
// is compiled into a table that can be replaced while clients are there.
package rules

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/internal/gateway/command"
	"github.com/fanwire/fanwire/internal/gateway/identity"
	"github.com/fanwire/fanwire/internal/gateway/webhook"
	"github.com/fanwire/fanwire/node"
)

// Verifier checks tokens; [*identity.Verifier] is one.
type Verifier interface {
	// Verify may block. Its errors are told apart by [identity.CodeOf].
	Verify(ctx context.Context, token string) (identity.Grant, error)
}

// Hook is a webhook; [*webhook.Hook] is one.
type Hook interface {
	// Call blocks until the backend has answered, for its timeout at most.
	Call(ctx context.Context, req webhook.Request) (webhook.Response, error)
}

// Sentry closes clients whose token has ended; [*identity.Sentry] is one.
type Sentry interface {
	Watch(s *node.Socket)
	Forget(s *node.Socket)
	// Refresh may block. Its errors are told apart by [identity.CodeOf].
	Refresh(ctx context.Context, s *node.Socket, token string) error
	// Readmit decides on a socket that recovers, in a namespace with tokens. It may
	// block.
	Readmit(ctx context.Context, s *node.Socket) error
}

// Handlers is what middlewares can be registered on.
type Handlers interface {
	Use(mw func(next node.ConnectFunc) node.ConnectFunc)
	UseEvent(mw func(next node.EventFunc) node.EventFunc)
}

// Options are what stays, whatever is reloaded.
type Options struct {
	// Verifier of tokens. Nil: no token is valid.
	Verifier Verifier
	// Revoked tells whether what a client was given has been taken back. It must not
	// block. Nil: nothing is.
	Revoked func(identity.Client) bool
	// Sentry of the tokens' ends. Nil: there is none, and the event "fanwire:auth" is
	// one like others.
	Sentry Sentry
	// ConnectTimeout bounds what happens before a client is in a namespace, 45 s by
	// default.
	ConnectTimeout time.Duration
	// Redis is where routes to streams append. Nil: such routes are unavailable. So
	// that nothing is appended twice and nobody waits long, it should not try again by
	// itself (MaxRetries -1) and should heed deadlines (ContextTimeoutEnabled).
	Redis goredis.Cmdable
	// Before, if not nil, may register what is to run around the rules, for each
	// namespace or pattern that they get.
	Before func(Handlers)
	// Logger is [slog.Default] if nil.
	Logger *slog.Logger
}

// Rules are the namespaces of a server. All methods are safe for concurrent use.
type Rules struct {
	// Static after construction.
	srv     *node.Server
	log     *slog.Logger
	opts    Options
	runner  *command.Runner
	streams streams
	notify  notifier
	holds   holds
	count   counters

	ctx   context.Context // ends with Close
	end   context.CancelFunc
	tasks sync.WaitGroup // what runs beside the events of clients

	table   atomic.Pointer[Table]
	members sync.Map // *node.Socket to *member

	mu      sync.Mutex // one reload at a time; guards the fields below
	dynamic *node.Pattern
	adopted map[*node.Namespace]bool
}

// New puts a table in force on a server, before it serves. The rules are to be ended
// by Close.
//
// For sockets that recover, the server should run its middlewares
// ([node.Recovery].RunMiddlewares): what a client was given may have been taken back.
func New(srv *node.Server, t *Table, opts Options) *Rules {
	if opts.ConnectTimeout <= 0 {
		opts.ConnectTimeout = 45 * time.Second
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	r := &Rules{srv: srv, log: opts.Logger, opts: opts, adopted: map[*node.Namespace]bool{}}
	r.ctx, r.end = context.WithCancel(context.Background())
	r.holds.srv = srv
	r.streams.init(r)
	r.notify.init(r)
	r.runner = command.NewRunner(command.Options{Namespaces: r, SetData: r.SetData, Limits: t.commandLimits()})
	r.adopt(srv.Of("/")) // it is always there
	r.Replace(t)
	return r
}

// Runner does what backends ask for, in the namespaces of these rules.
func (r *Rules) Runner() *command.Runner { return r.runner }

// Replace puts another table in force. Clients stay, and so does the order of their
// events: an event that is being handled ends by the old rules, the next one begins
// by the new. What the rates of routes remember begins anew.
//
// A namespace that is not configured any more refuses new clients as one that never
// was. Those that are in it stay, so that a mistake in a file costs nobody the
// connection; they still get what is emitted on other nodes, and their own events
// are counted as unmatched.
func (r *Rules) Replace(t *Table) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open(t)
	r.runner.SetLimits(t.commandLimits())
	r.table.Store(t)
}

// open makes the namespaces of t. Clients can ask for them from then on, and are
// refused until t is in force.
func (r *Rules) open(t *Table) {
	for name := range t.exact {
		r.adopt(r.srv.Of(name))
	}
	if len(t.patterns) > 0 && r.dynamic == nil {
		r.dynamic = r.srv.OfFunc(func(_ context.Context, name string, _ json.RawMessage) bool { return r.table.Load().takes(name) })
		r.register(r.dynamic)
	}
}

// adopt registers the handlers on a namespace, once. One that a pattern has made
// before its name was configured has them.
func (r *Rules) adopt(ns *node.Namespace) {
	if r.adopted[ns] {
		return
	}
	r.adopted[ns] = true
	if r.dynamic != nil {
		for _, child := range r.dynamic.Namespaces() {
			if child == ns {
				return
			}
		}
	}
	r.register(ns)
}

// handlers is what can be registered on.
type handlers interface {
	node.Handlers
	Handlers
	OnConnect(f node.ConnectFunc)
	OnDisconnect(f node.DisconnectFunc)
}

func (r *Rules) register(h handlers) {
	if r.opts.Before != nil {
		r.opts.Before(h)
	}
	h.Use(func(next node.ConnectFunc) node.ConnectFunc {
		return func(ctx context.Context, s *node.Socket) error {
			if err := r.admit(ctx, s); err != nil {
				return err
			}
			return next(ctx, s)
		}
	})
	h.UseEvent(func(next node.EventFunc) node.EventFunc {
		return func(ctx context.Context, s *node.Socket, e node.Event) error {
			return r.event(ctx, s, e, next)
		}
	})
	h.OnConnect(r.connected)
	h.OnDisconnect(r.disconnected)
	r.runner.Handle(h)
}

// Close ends what the rules do beside the events of clients, and waits for it until
// ctx ends. Call it when the server has shut down.
func (r *Rules) Close(ctx context.Context) error {
	r.end()
	r.holds.close()
	done := make(chan struct{})
	go func() { // ends with the tasks, which r.end has ended
		r.tasks.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("rules: close: %w", context.Cause(ctx))
	}
}
