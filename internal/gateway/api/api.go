// Package api is the HTTP API of the gateway, for backends in any language: commands
// (package command), and questions about the sockets, rooms and nodes of the whole
// cluster. It is served below /v1/ on the admin listener, and each node answers the
// same.
//
// What a question needs of other gateways is asked by server events of the namespace
// "/" whose names begin with "fanwire:". Official nodes, and programs that use package
// node, do not answer those: where they can be asked otherwise (sockets) they are, where
// they cannot (rooms) the answer says that somebody is missing. An answer that is not
// complete always says so.
package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/internal/gateway/command"
	"github.com/fanwire/fanwire/internal/gateway/config"
	"github.com/fanwire/fanwire/node"
)

// Options are what an [API] works with. Server, Runner and Namespaces are required.
type Options struct {
	// Config may change later: see [API.Reload]. Without keys the API is off.
	Config     config.API
	Server     *node.Server
	Runner     Runner
	Namespaces command.Namespaces
	// Limits of commands, as they are now; the defaults if nil.
	Limits func() command.Limits
	// Revocations, if nil, are not offered.
	Revocations Revocations
	// Redis keeps the answers of requests with an Idempotency-Key. Without it such
	// requests are refused with 503.
	Redis goredis.UniversalClient
	// Key tells these answers from those of other clusters on the same Redis: the prefix
	// that all nodes of this one have.
	Key string
	// Logger gets a line for each request that changes something: slog.Default() if
	// nil.
	Logger *slog.Logger
	// Version of the program, as other nodes are told.
	Version string
	// Ready tells whether this node can serve; the server's Ready if nil. It has a
	// quarter of a second.
	Ready func(ctx context.Context) error
	// Done, if not nil, hears of each request when it was answered: the name of its
	// operation, one of [Operations] or "" for none, the status, and how long it took.
	// It must not block.
	Done func(operation string, status int, took time.Duration)
	// Trace, if not nil, follows a request whose key is valid, under the name of its
	// operation. end is called with the error it ended with, nil for none.
	Trace func(r *http.Request, operation string) (traced *http.Request, end func(error))
}

// Operations returns the names of all operations, as in openapi.yaml.
func Operations() []string {
	var names []string
	for _, r := range (&API{}).table() {
		names = append(names, r.name)
	}
	return names
}

// Runner runs commands: command.Runner.
type Runner interface {
	Run(ctx context.Context, c command.Command, self *node.Socket) error
}

// Bounds that are not in the configuration.
const (
	deadline    = 10 * time.Second // of a request, unless it waits for acks
	askTimeout  = 5 * time.Second  // for the answers of other nodes
	maxAnswer   = 4 << 20          // about how many bytes of sockets a node answers with
	maxInFlight = 1024             // requests at a time
)

// API is the handler. It is safe for concurrent use.
type API struct {
	// Static after construction.
	srv     *node.Server
	opts    Options
	log     *slog.Logger
	started time.Time
	routes  []*route
	replays idempotency
	slots   chan struct{} // has room for the requests that run
	wait    time.Duration // for the answers of other nodes
	room    int           // about how many bytes of sockets this node answers with

	state    atomic.Pointer[state] // what Reload replaces
	counters counters
}

// New makes the handler and registers what answers other gateways on the server's
// namespace "/": once for each server.
func New(o Options) (*API, error) {
	if o.Server == nil || o.Runner == nil || o.Namespaces == nil {
		return nil, errors.New("api: Server, Runner and Namespaces are required")
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Limits == nil {
		o.Limits = func() command.Limits { return command.Limits{} }
	}
	if o.Ready == nil {
		o.Ready = o.Server.Ready
	}
	a := &API{
		srv:     o.Server,
		opts:    o,
		log:     o.Logger,
		started: time.Now(),
		replays: idempotency{o.Redis},
		slots:   make(chan struct{}, maxInFlight),
		wait:    askTimeout,
		room:    maxAnswer,
	}
	a.routes = a.table()
	a.counters.init(a.routes)
	if err := a.Reload(o.Config); err != nil {
		return nil, err
	}
	a.answerOthers()
	return a, nil
}

// Reload replaces keys, rates and limits; requests that run go on with the old ones.
// After an error nothing has changed.
func (a *API) Reload(cfg config.API) error {
	s, err := newState(cfg, a.state.Load())
	if err != nil {
		return err
	}
	a.state.Store(s)
	return nil
}

// ServeHTTP serves the paths below /v1/ and answers 404 elsewhere.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{api: a, state: a.state.Load(), r: r, start: time.Now(), w: recorder{ResponseWriter: w}}
	c.w.Header().Set("Cache-Control", "no-store")
	c.w.Header().Set("X-Content-Type-Options", "nosniff")
	if err := c.serve(); err != nil {
		c.fail(err)
	}
	c.finish()
}
