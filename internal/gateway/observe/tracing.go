package observe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/fanwire/fanwire/internal/gateway/config"
	"github.com/fanwire/fanwire/node"
)

// TracingOptions are what the configuration does not say.
type TracingOptions struct {
	Version string // of the program
	Node    string // id of the node
	// Logger hears of traces that the collector did not take; nil for
	// [slog.Default].
	Logger *slog.Logger
}

// Tracing sends OpenTelemetry traces to a collector. Its methods do nothing on a nil
// *Tracing, which is tracing that is off. They are safe for concurrent use and do not
// block; what the collector does not take in time is dropped.
type Tracing struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	sample   float64
}

// Bounds on what waits for the collector, and on how long it may take.
const (
	maxSpans      = 4096
	batchSpans    = 512
	exportTimeout = 10 * time.Second
)

// NewTracing begins to send traces as cfg says; it returns nil if cfg has no endpoint.
// It does not wait for the collector. To end it, call Shutdown.
func NewTracing(cfg config.Tracing, o TracingOptions) (*Tracing, error) {
	if cfg.Endpoint == "" {
		return nil, nil
	}
	endpoint, err := tracesURL(cfg.Endpoint)
	switch {
	case err != nil:
		return nil, err
	case !(cfg.Sample >= 0 && cfg.Sample <= 1):
		return nil, fmt.Errorf("observe: sample is %v and not 0 to 1", cfg.Sample)
	}
	exporter, err := otlptracehttp.New(context.Background(),
		otlptracehttp.WithEndpointURL(endpoint),
		otlptracehttp.WithTimeout(exportTimeout),
		otlptracehttp.WithCompression(otlptracehttp.GzipCompression),
	)
	if err != nil {
		return nil, fmt.Errorf("observe: traces: %w", err)
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(loggedExporter{exporter, o.Logger},
			sdktrace.WithMaxQueueSize(maxSpans), sdktrace.WithMaxExportBatchSize(batchSpans), sdktrace.WithExportTimeout(exportTimeout)),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.AlwaysSample())), // Start has chosen before
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", cfg.Service),
			attribute.String("service.version", o.Version),
			attribute.String("service.instance.id", o.Node),
		)),
	)
	return &Tracing{provider: provider, tracer: provider.Tracer("github.com/fanwire/fanwire"), sample: cfg.Sample}, nil
}

// tracesURL is where spans are sent: the path of OTLP, unless there is one.
func tracesURL(endpoint string) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("observe: tracing endpoint %q is not an http or https URL", RedactURL(endpoint))
	}
	if strings.Trim(u.Path, "/") == "" {
		u.Path = "/v1/traces"
	}
	return u.String(), nil
}

// loggedExporter logs what could not be sent.
type loggedExporter struct {
	sdktrace.SpanExporter
	log *slog.Logger
}

func (e loggedExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if err := e.SpanExporter.ExportSpans(ctx, spans); err != nil {
		e.log.Warn("traces are lost", "spans", len(spans), "error", err)
	}
	return nil
}

// Shutdown sends what waits and ends the tracing. It waits until ctx ends at most.
func (t *Tracing) Shutdown(ctx context.Context) error {
	if t == nil {
		return nil
	}
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("observe: traces: %w", err)
	}
	return nil
}

// Tracer returns what belongs into [node.Config]: nil if tracing is off.
func (t *Tracing) Tracer() node.Tracer {
	if t == nil {
		return nil
	}
	return t
}

// spanNames and spanKinds are the names and kinds of the spans of a node.
var (
	spanNames = map[node.SpanKind]string{
		node.SpanHandshake: "handshake", node.SpanConnect: "connect", node.SpanEvent: "event",
		node.SpanPublish: "publish", node.SpanDeliver: "deliver",
	}
	spanKinds = map[node.SpanKind]trace.SpanKind{
		node.SpanHandshake: trace.SpanKindServer, node.SpanConnect: trace.SpanKindServer, node.SpanEvent: trace.SpanKindServer,
		node.SpanPublish: trace.SpanKindProducer, node.SpanDeliver: trace.SpanKindConsumer,
	}
)

// Start implements [node.Tracer]. Which traces are followed is decided where they
// begin; of the others nothing is made.
func (t *Tracing) Start(ctx context.Context, s node.SpanInfo) (context.Context, node.Span) {
	if !trace.SpanContextFromContext(ctx).IsSampled() && !t.chosen(s.Kind) {
		return ctx, nil
	}
	attrs := make([]attribute.KeyValue, 0, 2)
	if s.Namespace != "" {
		attrs = append(attrs, attribute.String("fanwire.namespace", spanText(s.Namespace)))
	}
	if s.Event != "" {
		attrs = append(attrs, attribute.String("fanwire.event", spanText(s.Event)))
	}
	ctx, sp := t.tracer.Start(ctx, spanNames[s.Kind], trace.WithSpanKind(spanKinds[s.Kind]), trace.WithAttributes(attrs...))
	return ctx, span{sp}
}

// chosen tells whether a trace is followed that begins with a span of a kind.
func (t *Tracing) chosen(k node.SpanKind) bool {
	return (k == node.SpanHandshake || k == node.SpanConnect || k == node.SpanEvent) && rand.Float64() < t.sample
}

// spanText is a text of a client as a span may show it.
func spanText(s string) string { return strings.ToValidUTF8(cut(s, maxText), "\uFFFD") }

// span is a span of a node.
type span struct{ trace.Span }

// End implements [node.Span]. What an error says may be of the application or quote a
// client: the trace has that it failed, and the type.
func (s span) End(recipients int, err error) {
	if recipients >= 0 {
		s.SetAttributes(attribute.Int("fanwire.recipients", recipients))
	}
	fail(s.Span, err)
	s.Span.End()
}

func fail(s trace.Span, err error) {
	if err == nil {
		return
	}
	kind := "error"
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		kind = "timeout"
	case errors.Is(err, context.Canceled):
		kind = "canceled"
	}
	s.SetStatus(codes.Error, "")
	s.SetAttributes(attribute.String("error.type", kind))
}

var propagator = propagation.TraceContext{}

const traceparent = "traceparent"

// Inject implements [node.Tracer].
func (t *Tracing) Inject(ctx context.Context) string {
	if t == nil || !trace.SpanContextFromContext(ctx).IsSampled() {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagator.Inject(ctx, carrier)
	return carrier[traceparent]
}

// Extract implements [node.Tracer].
func (t *Tracing) Extract(ctx context.Context, parent string) context.Context {
	if t == nil || parent == "" {
		return ctx
	}
	return propagator.Extract(ctx, propagation.MapCarrier{traceparent: parent})
}

// Call begins the span of a request to another server, as part of what ctx belongs
// to. The header traceparent of the request is parent, "" if nothing is followed. end
// is to be called once, with what the request has come to; it is not nil.
func (t *Tracing) Call(ctx context.Context, name string) (spanCtx context.Context, parent string, end func(error)) {
	if t == nil || !trace.SpanContextFromContext(ctx).IsSampled() {
		return ctx, "", func(error) {}
	}
	ctx, s := t.tracer.Start(ctx, spanText(name), trace.WithSpanKind(trace.SpanKindClient))
	return ctx, t.Inject(ctx), func(err error) {
		fail(s, err)
		s.End()
	}
}

// Serve begins the span of a request of a backend. It continues the trace that the
// backend says it belongs to, by the header traceparent, if that is followed; such a
// header is to be believed of those who have a key only. Otherwise it begins a trace
// for as many as the configuration says. end is as for [Tracing.Call].
func (t *Tracing) Serve(r *http.Request, name string) (traced *http.Request, end func(error)) {
	if t == nil {
		return r, func(error) {}
	}
	ctx := t.Extract(r.Context(), r.Header.Get(traceparent))
	if !trace.SpanContextFromContext(ctx).IsSampled() && rand.Float64() >= t.sample {
		return r, func(error) {}
	}
	ctx, s := t.tracer.Start(ctx, spanText(name), trace.WithSpanKind(trace.SpanKindServer))
	return r.WithContext(ctx), func(err error) {
		fail(s, err)
		s.End()
	}
}

// traceID is that of the trace that ctx belongs to, "" if it is not followed.
func traceID(ctx context.Context) string {
	if ctx == nil {
		return ""
	}
	if sc := trace.SpanContextFromContext(ctx); sc.IsSampled() {
		return sc.TraceID().String()
	}
	return ""
}
