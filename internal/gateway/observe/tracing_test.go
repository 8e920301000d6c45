package observe

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	goredis "github.com/redis/go-redis/v9"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/adapter/redis"
	"github.com/fanwire/fanwire/adapter/redis/redistest"
	"github.com/fanwire/fanwire/internal/gateway/config"
	"github.com/fanwire/fanwire/node"
)

// sink is a collector that keeps what it is sent.
type sink struct {
	*httptest.Server
	status int // of its answers

	mu    sync.Mutex
	spans []got
}

// got is a span with the node that sent it.
type got struct {
	node string
	*tracepb.Span
}

func newSink(t *testing.T) *sink {
	s := &sink{status: http.StatusOK}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		body, _ = gzip.NewReader(r.Body)
	}
	data, err := io.ReadAll(body)
	var req collector.ExportTraceServiceRequest
	if err != nil || proto.Unmarshal(data, &req) != nil || r.URL.Path != "/v1/traces" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rs := range req.GetResourceSpans() {
		name := ""
		for _, a := range rs.GetResource().GetAttributes() {
			if a.GetKey() == "service.instance.id" {
				name = a.GetValue().GetStringValue()
			}
		}
		for _, ss := range rs.GetScopeSpans() {
			for _, span := range ss.GetSpans() {
				s.spans = append(s.spans, got{name, span})
			}
		}
	}
	w.WriteHeader(s.status)
}

// find returns the one span of a node with a name.
func (s *sink) find(t *testing.T, of, name string) got {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.spans, func(g got) bool { return g.node == of && g.GetName() == name })
	if i < 0 {
		var names []string
		for _, g := range s.spans {
			names = append(names, g.node+" "+g.GetName())
		}
		t.Fatalf("no span %s of %s among %q", name, of, names)
	}
	return s.spans[i]
}

func (g got) attribute(key string) string {
	for _, a := range g.GetAttributes() {
		if a.GetKey() == key {
			return a.GetValue().String()
		}
	}
	return ""
}

func newTracing(t *testing.T, endpoint, name string, sample float64) *Tracing {
	t.Helper()
	tr, err := NewTracing(config.Tracing{Endpoint: endpoint, Sample: sample, Service: "fanwire"}, TracingOptions{Node: name, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = tr.Shutdown(ctx)
	})
	return tr
}

// dial opens a session and joins "/".
func dial(t *testing.T, url string) *websocket.Conn {
	t.Helper()
	ws, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(url, "http")+"/socket.io/?EIO=4&transport=websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.Close() })
	_ = ws.SetReadDeadline(time.Now().Add(patience))
	say(t, ws, "40")
	hear(t, ws)
	hear(t, ws)
	return ws
}

func say(t *testing.T, ws *websocket.Conn, frame string) {
	t.Helper()
	if err := ws.WriteMessage(websocket.TextMessage, []byte(frame)); err != nil {
		t.Fatal(err)
	}
}

func hear(t *testing.T, ws *websocket.Conn) string {
	t.Helper()
	_, data, err := ws.ReadMessage()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestOneTrace: an event that calls a backend and is emitted to the clients of another
// node makes one trace, over each wire.
func TestOneTrace(t *testing.T) {
	for name, factory := range map[string]func(c goredis.UniversalClient) adapter.Factory{
		"classic": func(c goredis.UniversalClient) adapter.Factory { return redis.NewAdapter(c, redis.Config{}) },
		"sharded": func(c goredis.UniversalClient) adapter.Factory { return redis.NewShardedAdapter(c, redis.Config{}) },
		"streams": func(c goredis.UniversalClient) adapter.Factory {
			return redis.NewStreamsAdapter(c, redis.StreamsConfig{})
		},
	} {
		t.Run(name, func(t *testing.T) { testOneTrace(t, factory) })
	}
}

// counted is a tracer that counts the spans that have not ended.
type counted struct {
	node.Tracer
	open *atomic.Int64
}

func (c counted) Start(ctx context.Context, info node.SpanInfo) (context.Context, node.Span) {
	ctx, span := c.Tracer.Start(ctx, info)
	c.open.Add(1)
	return ctx, countedSpan{span, c.open}
}

type countedSpan struct {
	node.Span
	open *atomic.Int64
}

func (s countedSpan) End(recipients int, err error) {
	s.Span.End(recipients, err)
	s.open.Add(-1)
}

func testOneTrace(t *testing.T, factory func(c goredis.UniversalClient) adapter.Factory) {
	sink := newSink(t)
	broker := redistest.Start(t) // miniredis has no sharded channels
	header := make(chan string, 1)
	backend := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		header <- r.Header.Get("traceparent")
	}))
	t.Cleanup(backend.Close)

	traces := map[string]*Tracing{}
	var open atomic.Int64
	start := func(name string, setUp func(*node.Server)) string {
		client := broker.Client(t)
		traces[name] = newTracing(t, sink.URL, name, 1)
		tracer := counted{traces[name].Tracer(), &open}
		srv, url := serve(t, node.Config{NodeID: name, Adapter: factory(client), Tracer: tracer}, setUp)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := srv.Ready(ctx); err != nil {
			t.Fatal(err)
		}
		return url
	}
	long := strings.Repeat("ö", 120) // 240 bytes
	urlA := start("nodeA", func(srv *node.Server) {
		node.On(srv, long, func(ctx context.Context, s *node.Socket, _ node.Args) error {
			spanCtx, parent, end := traces["nodeA"].Call(ctx, "webhook chat")
			r, _ := http.NewRequestWithContext(spanCtx, "POST", backend.URL, nil)
			r.Header.Set("traceparent", parent)
			res, err := http.DefaultClient.Do(r)
			if err == nil {
				res.Body.Close()
			}
			end(err)
			return srv.Emit(ctx, "news", "secret payload")
		})
	})
	urlB := start("nodeB", nil)
	a, b := dial(t, urlA), dial(t, urlB)
	say(t, a, `42["`+long+`",{"token":"secret payload"}]`)
	if got := hear(t, b); got != `42["news","secret payload"]` {
		t.Fatal(got)
	}
	for end := time.Now().Add(patience); open.Load() > 0; time.Sleep(time.Millisecond) { // it was heard before they end
		if time.Now().After(end) {
			t.Fatalf("%d spans do not end", open.Load())
		}
	}
	for _, tr := range traces {
		if err := tr.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	}

	event, hook := sink.find(t, "nodeA", "event"), sink.find(t, "nodeA", "webhook chat")
	publish, deliver := sink.find(t, "nodeA", "publish"), sink.find(t, "nodeB", "deliver")
	for _, link := range [][2]got{{hook, event}, {publish, event}, {deliver, publish}} {
		child, parent := link[0], link[1]
		if string(child.GetTraceId()) != string(parent.GetTraceId()) || string(child.GetParentSpanId()) != string(parent.GetSpanId()) {
			t.Errorf("%s is not below %s", child.GetName(), parent.GetName())
		}
	}
	if len(event.GetParentSpanId()) != 0 {
		t.Error("the event is not the root")
	}
	if got := <-header; !strings.HasPrefix(got, "00-") || !strings.HasSuffix(got, "-01") {
		t.Errorf("the backend got traceparent %q", got)
	}
	handshake, connect := sink.find(t, "nodeB", "handshake"), sink.find(t, "nodeB", "connect")
	if string(connect.GetParentSpanId()) != string(handshake.GetSpanId()) {
		t.Error("connect is not below handshake")
	}
	if got := deliver.attribute("fanwire.recipients"); !strings.Contains(got, "1") {
		t.Errorf("recipients: %s", got)
	}
	checkAttributes(t, sink)
}

// checkAttributes looks for what a span must not have.
func checkAttributes(t *testing.T, s *sink) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.spans {
		text := g.Span.String()
		if strings.Contains(text, "secret") {
			t.Errorf("a span holds a payload: %s", text)
		}
		for _, a := range g.GetAttributes() {
			if n := len(a.GetValue().GetStringValue()); n > maxText+len("...") {
				t.Errorf("%s: %d bytes", a.GetKey(), n)
			}
		}
	}
}

// TestSample: whether a trace is followed is decided where it begins.
func TestSample(t *testing.T) {
	sink := newSink(t)
	none, all := newTracing(t, sink.URL, "none", 0), newTracing(t, sink.URL, "all", 1)
	event := node.SpanInfo{Kind: node.SpanEvent, Namespace: "/", Event: "e"}
	ctx, span := none.Start(t.Context(), event)
	if span != nil || none.Inject(ctx) != "" {
		t.Error("a trace began that should not")
	}
	if _, span := all.Start(t.Context(), node.SpanInfo{Kind: node.SpanPublish}); span != nil {
		t.Error("a trace began at a publish")
	}
	ctx, span = all.Start(t.Context(), event)
	if span == nil {
		t.Fatal("no trace")
	}
	parent := all.Inject(ctx)
	below, deliver := none.Start(none.Extract(t.Context(), parent), node.SpanInfo{Kind: node.SpanDeliver})
	if deliver == nil || none.Inject(below)[:35] != parent[:35] {
		t.Errorf("the other node does not follow: %q below %q", none.Inject(below), parent)
	}
	deliver.End(0, errors.New("secret"))
	span.End(-1, nil)
	half := newTracing(t, sink.URL, "half", .5)
	n := 0
	for range 1000 {
		if _, span := half.Start(t.Context(), event); span != nil {
			span.End(-1, nil)
			n++
		}
	}
	if n < 350 || n > 650 {
		t.Errorf("%d of 1000 traces with a sample of a half", n)
	}
}

// TestUnsampledCost: what is not followed allocates nothing.
func TestUnsampledCost(t *testing.T) {
	tr := newTracing(t, "http://127.0.0.1:1", "n", 0)
	event, ctx := node.SpanInfo{Kind: node.SpanEvent, Namespace: "/", Event: "e"}, t.Context()
	if n := testing.AllocsPerRun(100, func() {
		c, span := tr.Start(ctx, event)
		if span != nil || tr.Inject(c) != "" {
			t.Error("followed")
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestStrangeParents: what cannot be read is no parent.
func TestStrangeParents(t *testing.T) {
	tr := newTracing(t, "http://127.0.0.1:1", "n", 0)
	for _, parent := range []string{
		"", "x", "00", strings.Repeat("0", 1000), "00-00000000000000000000000000000000-0000000000000000-01",
		"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nX: y",
	} {
		if got := tr.Inject(tr.Extract(t.Context(), parent)); got != "" {
			t.Errorf("%q became %q", parent, got)
		}
	}
}

func FuzzExtract(f *testing.F) {
	f.Add("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	tr := new(Tracing)
	f.Fuzz(func(t *testing.T, parent string) {
		got := tr.Inject(tr.Extract(t.Context(), parent))
		if got != "" && tr.Inject(tr.Extract(t.Context(), got)) != got {
			t.Errorf("%q became %q", parent, got)
		}
	})
}

// TestTracingOff: without an endpoint there is nothing, and nothing fails.
func TestTracingOff(t *testing.T) {
	tr, err := NewTracing(config.Tracing{Sample: 1}, TracingOptions{})
	if tr != nil || err != nil || tr.Tracer() != nil {
		t.Fatalf("%v, %v", tr, err)
	}
	ctx, parent, end := tr.Call(t.Context(), "x")
	end(nil)
	r := httptest.NewRequest("GET", "/", nil)
	traced, end := tr.Serve(r, "x")
	end(nil)
	if ctx != t.Context() || parent != "" || traced != r || tr.Shutdown(t.Context()) != nil {
		t.Error("something was done")
	}
}

// TestServe: a backend's trace goes on, also where none would begin.
func TestServe(t *testing.T) {
	sink := newSink(t)
	tr := newTracing(t, sink.URL, "n", 0)
	r := httptest.NewRequest("POST", "/v1/emit", nil)
	r.Header.Set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	traced, end := tr.Serve(r, "emit")
	if got := tr.Inject(traced.Context()); !strings.HasPrefix(got, "00-0af7651916cd43dd8448eb211c80319c-") {
		t.Errorf("got %q", got)
	}
	end(context.DeadlineExceeded)
	if err := tr.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	g := sink.find(t, "n", "emit")
	if got := g.attribute("error.type"); !strings.Contains(got, "timeout") || g.GetStatus().GetCode() != tracepb.Status_STATUS_CODE_ERROR {
		t.Errorf("%s, %v", got, g.GetStatus())
	}
}

func TestBadTracing(t *testing.T) {
	for _, cfg := range []config.Tracing{
		{Endpoint: "collector:4318"},
		{Endpoint: "ftp://x"},
		{Endpoint: "http://"},
		{Endpoint: "http://user:secret@[x/"},
		{Endpoint: "http://x", Sample: -1},
		{Endpoint: "http://x", Sample: 2},
	} {
		if _, err := NewTracing(cfg, TracingOptions{}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

// TestCollectorFails: the operator is told, and nobody waits.
func TestCollectorFails(t *testing.T) {
	sink := newSink(t)
	sink.status = http.StatusBadRequest
	lines := new(safeBuffer)
	tr, err := NewTracing(config.Tracing{Endpoint: sink.URL, Sample: 1}, TracingOptions{Logger: slog.New(slog.NewTextHandler(lines, nil))})
	if err != nil {
		t.Fatal(err)
	}
	_, span := tr.Start(t.Context(), node.SpanInfo{Kind: node.SpanEvent})
	span.End(-1, nil)
	if err := tr.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if !strings.Contains(lines.String(), "traces are lost") {
		t.Errorf("got %q", lines)
	}
}
