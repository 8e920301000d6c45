package webhook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/fanwire/fanwire/internal/gateway/command"
	"github.com/fanwire/fanwire/internal/gateway/config"
)

// Options are what all hooks of a gateway share.
type Options struct {
	// Limits of the commands and names in answers.
	Limits command.Limits
	// Inject adds header fields to a request that is about to be sent, such as those of
	// a trace. It must not block.
	Inject func(ctx context.Context, h http.Header)
	// Logger hears of answers that cannot be used, with what is wrong with them, and of
	// a circuit that opens or closes. Nil: nobody does.
	Logger *slog.Logger
	// UserAgent of the requests, "Fanwire" if empty.
	UserAgent string
}

// Hook is one configured webhook. It is safe for concurrent use.
type Hook struct {
	// Static after construction.
	name       string
	cfg        config.Webhook
	options    Options
	url        string
	keys       [][]byte // that sign; the first is the present one
	headers    []header // of the handshake that are passed on
	transport  *http.Transport
	maxWaiting int64

	slots    chan struct{} // holds one for each request under way
	waiting  atomic.Int64  // for a slot
	closed   atomic.Bool
	circuit  circuit
	counters counters
}

// New returns a hook. It does no I/O but reading the files of cfg.TLS. Zero means
// the default for Timeout and MaxConcurrent; CircuitFailures 0 is no circuit. The
// error has all that is wrong with cfg.
func New(name string, cfg config.Webhook, o Options) (*Hook, error) {
	cfg.Timeout = positive(cfg.Timeout, 5*time.Second)
	cfg.MaxConcurrent = positive(cfg.MaxConcurrent, 64)
	cfg.CircuitPause = positive(cfg.CircuitPause, 5*time.Second)
	o.UserAgent = cmp.Or(o.UserAgent, "Fanwire")
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	h := &Hook{
		name:       name,
		cfg:        cfg,
		options:    o,
		url:        cfg.URL,
		headers:    headersOf(cfg.Headers),
		maxWaiting: int64(cfg.MaxWaiting),
		slots:      make(chan struct{}, cfg.MaxConcurrent),
		circuit:    circuit{failures: cfg.CircuitFailures, pause: cfg.CircuitPause},
	}
	var errKeys, errTLS error
	h.keys, errKeys = keysOf(cfg)
	h.transport, errTLS = newTransport(cfg)
	if err := errors.Join(checkURL(cfg), errKeys, errTLS); err != nil {
		return nil, fmt.Errorf("webhook %s: %w", name, err)
	}
	return h, nil
}

func positive[T int | time.Duration](value, otherwise T) T {
	if value > 0 {
		return value
	}
	return otherwise
}

// Name returns the name in the configuration.
func (h *Hook) Name() string { return h.name }

// Call sends a request and returns the answer. It blocks until the answer has come,
// at most for the configured timeout, in which it waits for its turn and tries again
// as well; when ctx ends it returns at once. A request is tried again after failures
// of the connection and answers 408, 429 (after its Retry-After) and 5xx; an event
// only if its connection did not come about, or with retry_events.
//
// The errors are [ErrOpen] and [ErrBusy], at once; [ErrTimeout], [ErrAddress],
// [*StatusError], [*AnswerError], those of the connection, and the cause of ctx.
func (h *Hook) Call(ctx context.Context, req Request) (Response, error) {
	start := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, h.cfg.Timeout, ErrTimeout)
	defer cancel()
	resp, err := h.call(ctx, &req)
	h.counters.called(req.Type, outcomeOf(err), time.Since(start))
	if h.closed.Load() {
		h.transport.CloseIdleConnections()
	}
	if err == nil {
		return resp, nil
	}
	var answer *AnswerError
	if errors.As(err, &answer) {
		h.options.Logger.Warn("the answer of a webhook cannot be used", "webhook", h.name, "type", string(req.Type), "id", req.ID, "problem", answer.Problem)
	}
	return resp, fmt.Errorf("webhook %s: %w", h.name, err)
}

func (h *Hook) call(ctx context.Context, req *Request) (Response, error) {
	if err := req.complete(); err != nil {
		return Response{}, err
	}
	body, err := h.encode(req)
	if err != nil {
		return Response{}, err
	}
	for try := 0; ; try++ {
		answer, fail := h.try(ctx, req, body)
		if fail == nil {
			return parseAnswer(req, answer, h.options.Limits)
		}
		if try >= h.cfg.Retries || !fail.again(req.Type, h.cfg.RetryEvents) || h.circuit.isOpen() {
			return Response{}, fail.err
		}
		if !pause(ctx, try, fail.err) {
			return Response{}, fail.err
		}
		h.counters.retries.Add(1)
	}
}

// try is one request, when it is its turn.
func (h *Hook) try(ctx context.Context, req *Request, body []byte) (answer []byte, fail *failure) {
	if h.circuit.isOpen() {
		return nil, &failure{err: ErrOpen}
	}
	if err := h.acquire(ctx); err != nil {
		return nil, &failure{err: err}
	}
	defer func() { <-h.slots }()
	pass, ok := h.circuit.enter() // it may have opened meanwhile
	if !ok {
		return nil, &failure{err: ErrOpen}
	}
	start := time.Now()
	result := unknown // if something panics
	defer func() { h.changed(h.circuit.leave(pass, result), fail) }()
	answer, fail = h.exchange(ctx, req, body)
	h.counters.latency.observe(time.Since(start))
	result = fail.result()
	return answer, fail
}

// changed tells of a circuit that has opened or closed.
func (h *Hook) changed(c change, fail *failure) {
	switch c {
	case hasOpened:
		h.options.Logger.Warn("the circuit of a webhook opens", "webhook", h.name, "pause", h.cfg.CircuitPause, "error", fail.err)
	case hasClosed:
		h.options.Logger.Info("the circuit of a webhook closes", "webhook", h.name)
	}
}

// acquire waits for a slot.
func (h *Hook) acquire(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case h.slots <- struct{}{}:
		return nil
	default:
	}
	if h.waiting.Add(1) > h.maxWaiting {
		h.waiting.Add(-1)
		return ErrBusy
	}
	defer h.waiting.Add(-1)
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Backoff between tries.
const (
	firstPause = 100 * time.Millisecond
	maxPause   = 2 * time.Second
)

// pause waits before the next try: longer each time, by chance more or less, and not
// shorter than the backend asks for. It reports false, at once, if there is no time
// left for that.
func pause(ctx context.Context, try int, err error) bool {
	d := min(firstPause<<min(try, 10), maxPause)
	d = d/2 + rand.N(d)
	var status *StatusError
	if errors.As(err, &status) {
		d = max(d, status.RetryAfter)
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= d {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Close lets the connections go: idle ones now, others when their calls have ended.
// It does not wait. Calls under way are finished, and a call that comes late, because
// its caller has found this hook before it was replaced, is made as well.
func (h *Hook) Close() {
	h.closed.Store(true)
	h.transport.CloseIdleConnections()
}
