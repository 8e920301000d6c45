package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/fanwire/fanwire/adapter"
)

// Tracer follows messages on their way: from a client through its handler and the
// broker to the nodes that deliver it ([Config.Tracer]). Its methods are called
// concurrently, while messages wait: they must be quick and must not block. The
// types are small so that this package needs no library for traces; OpenTelemetry
// fits behind them in some lines.
type Tracer interface {
	// Start begins a span below the one that ctx carries, without one a new trace.
	// The context that it returns carries the span; handlers get it, and what they
	// pass it to. It may be ctx, and the Span nil, for what is not followed.
	//
	// ctx always carries a span for [SpanPublish] and [SpanDeliver]: a trace begins
	// with what a client does.
	Start(ctx context.Context, s SpanInfo) (context.Context, Span)
	// Inject returns what other nodes need to follow the span that ctx carries, in
	// the form of the header traceparent of W3C Trace Context; "" if there is none,
	// or none that is followed.
	Inject(ctx context.Context) string
	// Extract returns ctx with the span that Inject has told of, on another node or
	// on this one. What comes from the broker is not to be trusted: Extract returns
	// ctx for what it cannot read.
	Extract(ctx context.Context, traceparent string) context.Context
}

// Span is what a [Tracer] has begun.
type Span interface {
	// End ends the span. It is called once. recipients is the number of sockets of
	// this node that were concerned, -1 where that is no question; err is why it
	// failed, nil if it did not.
	End(recipients int, err error)
}

// SpanKind says what a span is about.
type SpanKind uint8

// The kinds of spans.
const (
	SpanHandshake SpanKind = iota + 1 // the request that opens a session
	SpanConnect                       // a CONNECT, with middlewares and greetings; below the handshake of its session
	SpanEvent                         // an event of a client, until its handler has returned
	SpanPublish                       // handing a message to the adapter
	SpanDeliver                       // what another node has published is done here
)

// String returns a word.
func (k SpanKind) String() string {
	switch k {
	case SpanHandshake:
		return "handshake"
	case SpanConnect:
		return "connect"
	case SpanEvent:
		return "event"
	case SpanPublish:
		return "publish"
	case SpanDeliver:
		return "deliver"
	}
	return "unknown"
}

// SpanInfo describes a span. Names are those that clients gave, as long as the
// [Limits] let them be: cut them before they are shown.
type SpanInfo struct {
	Kind      SpanKind
	Namespace string // "" for a handshake
	Event     string // "" for what is no event
}

var (
	errNotAccepted = errors.New("refused, or gone")
	errSpanPanic   = errors.New("panic")
)

// spanned runs f in a span. A panic passes through.
func spanned(ctx context.Context, tr Tracer, info SpanInfo, f func(context.Context) error) (err error) {
	ctx, span := tr.Start(ctx, info)
	if span == nil {
		return f(ctx)
	}
	err = errSpanPanic
	defer func() { span.End(-1, err) }()
	err = f(ctx)
	return err
}

// invoke runs a handler, in a span if there is a tracer.
func (s *Socket) invoke(ctx context.Context, name string, hd *handler, in incoming) error {
	tr := s.client.srv.cfg.Tracer
	if tr == nil {
		return hd.run(ctx, s, in)
	}
	info := SpanInfo{Kind: SpanEvent, Namespace: s.name, Event: name}
	return spanned(ctx, tr, info, func(ctx context.Context) error { return hd.run(ctx, s, in) })
}

// invokeWrapped is callWrapped in a span.
func (s *Socket) invokeWrapped(ctx context.Context, tr Tracer, h *handlerSet, e Event) error {
	info := SpanInfo{Kind: SpanEvent, Namespace: s.name, Event: e.Name}
	return spanned(ctx, tr, info, func(ctx context.Context) error { return s.callWrapped(ctx, h, e) })
}

// enterTraced is enterIn in a span below that of the session's handshake.
func (s *Socket) enterTraced(tr Tracer) (entered bool) {
	ctx := s.Context()
	if s.client.trace != "" {
		ctx = tr.Extract(ctx, s.client.trace)
	}
	err := spanned(ctx, tr, SpanInfo{Kind: SpanConnect, Namespace: s.name}, func(ctx context.Context) error {
		if entered = s.enterIn(ctx); !entered {
			return errNotAccepted
		}
		return nil
	})
	return err == nil
}

// publish hands m to the adapter. m is the caller's until it returns.
func (ns *Namespace) publish(ctx context.Context, m *adapter.Message) (adapter.Placed, error) {
	tr := ns.srv.cfg.Tracer
	if tr == nil || tr.Inject(ctx) == "" {
		return ns.adapter.Publish(ctx, m)
	}
	var placed adapter.Placed
	info := SpanInfo{Kind: SpanPublish, Namespace: ns.name, Event: eventOf(m)}
	err := spanned(ctx, tr, info, func(ctx context.Context) (err error) {
		m.Trace = tr.Inject(ctx)
		placed, err = ns.adapter.Publish(ctx, m)
		return err
	})
	return placed, err
}

// eventOf is the name of the event that a message carries, "" if it carries none.
func eventOf(m *adapter.Message) string {
	if carriesEvent(m) && len(m.Packet.Data) >= 2 {
		return eventName(m.Packet.Data)
	}
	return ""
}

// followed starts the span of what another node has published. The context is that
// of the server, with the span; the span is nil if the message is not followed.
func (ns *Namespace) followed(m *adapter.Message) (context.Context, Span) {
	tr := ns.srv.cfg.Tracer
	if tr == nil || m.Trace == "" {
		return ns.srv.ctx, nil
	}
	ctx := tr.Extract(ns.srv.ctx, m.Trace)
	if tr.Inject(ctx) == "" {
		return ctx, nil
	}
	return tr.Start(ctx, SpanInfo{Kind: SpanDeliver, Namespace: ns.name, Event: eventOf(m)})
}

// handshakeSpan tells the span of a handshake that it was refused.
type handshakeSpan struct{ err error }

type handshakeKey struct{}

// serveTraced serves a request, in a span if it is to open a session.
func (srv *Server) serveTraced(tr Tracer, w http.ResponseWriter, r *http.Request) {
	if strings.Contains(r.URL.RawQuery, "sid=") {
		srv.engine.ServeHTTP(w, r)
		return
	}
	var h handshakeSpan
	_ = spanned(r.Context(), tr, SpanInfo{Kind: SpanHandshake}, func(ctx context.Context) error {
		ctx = context.WithValue(ctx, handshakeKey{}, &h)
		srv.engine.ServeHTTP(w, r.WithContext(ctx))
		return h.err
	})
}

// refusedIn returns [Config.Refused] with the spans of handshakes told.
func refusedIn(next func(*http.Request, int, string)) func(*http.Request, int, string) {
	return func(r *http.Request, code int, cause string) {
		if h, ok := r.Context().Value(handshakeKey{}).(*handshakeSpan); ok {
			h.err = fmt.Errorf("refused with code %d", code)
		}
		if next != nil {
			next(r, code, cause)
		}
	}
}
