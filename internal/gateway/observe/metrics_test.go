package observe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/internal/listener"
	"github.com/fanwire/fanwire/node"
)

// allSources has every source, with a webhook, a listener and an operation.
func allSources() MetricsOptions {
	return MetricsOptions{
		Version:  "1.2.3",
		Revision: "abc",
		Node:     func() node.Stats { return node.Stats{} },
		Cluster:  func() int { return 3 },
		Ready:    func() bool { return true },
		Listeners: map[string]func() listener.Stats{
			"client": func() listener.Stats { return listener.Stats{CertificateExpires: time.Unix(2e9, 0)} },
			"admin":  func() listener.Stats { return listener.Stats{} },
		},
		Redis:    func() RedisStats { return RedisStats{} },
		Webhooks: func() []WebhookStats { return []WebhookStats{{Name: "chat"}} },
		Rules:    func() RulesStats { return RulesStats{} },
		Commands: func() []CommandStats { return []CommandStats{{Kind: "emit"}} },
		API:      func() APIStats { return APIStats{Operations: map[string][6]uint64{"": {}, "emit": {}}} },
	}
}

func newMetrics(t testing.TB, o MetricsOptions) *Metrics {
	t.Helper()
	m, err := NewMetrics(o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// scrape returns the text that a scraper gets.
func scrape(t testing.TB, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// value returns the value of a series, as it stands in the text.
func value(t testing.TB, text, series string) string {
	t.Helper()
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, series+" "); ok {
			return strings.TrimSpace(v)
		}
	}
	t.Errorf("no series %s", series)
	return ""
}

// series lists those of ours, without values.
func series(text string) []string {
	set := map[string]bool{}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "fanwire_") {
			set[line[:strings.LastIndexByte(line, ' ')]] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// sameSeries fails for each series that only one of two scrapes has.
func sameSeries(t *testing.T, before, after string) {
	t.Helper()
	b, a := series(before), series(after)
	for _, s := range a {
		if !slices.Contains(b, s) {
			t.Errorf("new series: %s", s)
		}
	}
	for _, s := range b {
		if !slices.Contains(a, s) {
			t.Errorf("series is gone: %s", s)
		}
	}
}

func TestMetrics(t *testing.T) {
	o := allSources()
	o.Node = func() node.Stats {
		return node.Stats{
			Sessions: 5, Polling: 2, WebSocket: 3, QueuedBytes: 77, SlowConsumers: 4, Handshakes: 10, HandshakesRefused: 1,
			Delivered: 99, BytesIn: 1, BytesOut: 2,
			Panics:        map[string]uint64{"event": 2, "server event": 1, "new": 3},
			NotRecovered:  map[string]uint64{"events lost": 6},
			ForwardErrors: map[string]uint64{"busy": 7},
			Adapter:       adapter.Stats{Missed: 8, BadMessages: 9, Duplicates: 10, Published: 11, Received: 12},
		}
	}
	o.Redis = func() RedisStats { return RedisStats{Connections: 5, Idle: 3, Hits: 1, Misses: 2, Timeouts: 3} }
	o.Webhooks = func() []WebhookStats {
		return []WebhookStats{
			{Name: "chat", Circuit: "open", Calls: []WebhookCalls{{"event", "bad answer", 4}, {"odd", "odd", 1}}},
			{Name: "idle", Circuit: "half-open"},
		}
	}
	o.Rules = func() RulesStats { return RulesStats{Relayed: 3, Refused: map[string]uint64{"too large": 2}} }
	o.API = func() APIStats {
		return APIStats{Operations: map[string][6]uint64{"": {4: 1}, "emit": {2: 5, 4: 6}}}
	}
	m := newMetrics(t, o)
	m.SetWebhooks("chat")
	m.WebhookDone("chat", 20*time.Millisecond)
	m.Refused(nil, 3, "whatever")
	m.Refused(nil, 99, "new")
	text := scrape(t, m)
	for s, want := range map[string]string{
		`fanwire_sessions{transport="polling"}`:                                                   "2",
		`fanwire_sessions{transport="websocket"}`:                                                 "3",
		`fanwire_handshakes_total{result="opened"}`:                                               "10",
		`fanwire_handshakes_total{result="refused"}`:                                              "1",
		`fanwire_queued_bytes`:                                                                    "77",
		`fanwire_slow_consumers_total`:                                                            "4",
		`fanwire_deliveries_total`:                                                                "99",
		`fanwire_received_bytes_total`:                                                            "1",
		`fanwire_sent_bytes_total`:                                                                "2",
		`fanwire_panics_total{where="server_event"}`:                                              "1",
		`fanwire_panics_total{where="other"}`:                                                     "3",
		`fanwire_panics_total{where="task"}`:                                                      "0",
		`fanwire_recoveries_total{result="events_lost"}`:                                          "6",
		`fanwire_forward_errors_total{cause="busy"}`:                                              "7",
		`fanwire_bus_missed_messages_total`:                                                       "8",
		`fanwire_bus_bad_messages_total`:                                                          "9",
		`fanwire_bus_duplicate_messages_total`:                                                    "10",
		`fanwire_bus_published_messages_total`:                                                    "11",
		`fanwire_bus_received_messages_total`:                                                     "12",
		`fanwire_cluster_nodes`:                                                                   "3",
		`fanwire_ready`:                                                                           "1",
		`fanwire_redis_connections{state="used"}`:                                                 "2",
		`fanwire_redis_pool_gets_total{result="timeout"}`:                                         "3",
		`fanwire_webhook_circuit_open{webhook="chat"}`:                                            "1",
		`fanwire_webhook_circuit_open{webhook="idle"}`:                                            "0.5",
		`fanwire_webhook_calls_total{outcome="bad_answer",type="event",webhook="chat"}`:           "4",
		`fanwire_webhook_calls_total{outcome="other",type="other",webhook="chat"}`:                "1",
		`fanwire_webhook_duration_seconds_count{webhook="chat"}`:                                  "1",
		`fanwire_webhook_duration_seconds_bucket{webhook="chat",le="0.025"}`:                      "1",
		`fanwire_webhook_duration_seconds_bucket{webhook="chat",le="0.01"}`:                       "0",
		`fanwire_rules_events_total{outcome="relayed"}`:                                           "3",
		`fanwire_rules_refused_events_total{cause="too_large"}`:                                   "2",
		`fanwire_api_requests_total{operation="emit",status="2xx"}`:                               "5",
		`fanwire_api_requests_total{operation="other",status="4xx"}`:                              "1",
		`fanwire_requests_refused_total{cause="bad_request"}`:                                     "1",
		`fanwire_requests_refused_total{cause="other"}`:                                           "1",
		fmt.Sprintf(`fanwire_build_info{goversion=%q,revision="abc",version="1.2.3"}`, goVersion): "1",
	} {
		if got := value(t, text, s); got != want {
			t.Errorf("%s is %s, want %s", s, got, want)
		}
	}
	for _, of := range []string{"go_goroutines ", "process_open_fds "} {
		if !strings.Contains(text, "\n"+of) {
			t.Errorf("no %s", of)
		}
	}
}

// TestNativeHistograms: who asks for protobuf gets native histograms too.
func TestNativeHistograms(t *testing.T) {
	m := newMetrics(t, MetricsOptions{})
	m.SetWebhooks("chat")
	m.WebhookDone("chat", 20*time.Millisecond)
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "fanwire_webhook_duration_seconds" {
			h := f.GetMetric()[0].GetHistogram()
			if len(h.GetPositiveSpan()) == 0 || len(h.GetBucket()) == 0 {
				t.Errorf("not both native and classic: %v", h)
			}
			return
		}
	}
	t.Error("no histogram")
}

// TestReloadedWebhooks: what was removed from the configuration leaves nothing behind.
func TestReloadedWebhooks(t *testing.T) {
	m := newMetrics(t, MetricsOptions{})
	m.SetWebhooks("old", "kept")
	m.WebhookDone("old", time.Second)
	m.WebhookDone("kept", time.Second)
	m.SetWebhooks("kept", "new")
	m.WebhookDone("old", time.Second) // was under way
	text := scrape(t, m)
	if strings.Contains(text, `"old"`) {
		t.Error("the old webhook is still there")
	}
	for name, want := range map[string]string{"kept": "1", "new": "0"} {
		if got := value(t, text, `fanwire_webhook_duration_seconds_count{webhook="`+name+`"}`); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestBadOptions: two metrics of one name are an error, not a panic.
func TestBadOptions(t *testing.T) {
	o := allSources()
	o.Version = "\xff"
	if m, err := NewMetrics(o); err == nil {
		w := httptest.NewRecorder()
		m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		if !strings.Contains(w.Body.String(), "fanwire_sessions") {
			t.Errorf("a bad version takes everything with it: %d %s", w.Code, w.Body)
		}
	}
}

// TestLabelsOfStats: whatever keys the counters have, the series are the same.
func TestLabelsOfStats(t *testing.T) {
	before := scrape(t, newMetrics(t, allSources()))
	o := allSources()
	odd := map[string]uint64{"\"}\n": 1, "../": 2, strings.Repeat("x", 1000): 3, "": 4}
	o.Node = func() node.Stats { return node.Stats{Panics: odd, NotRecovered: odd, ForwardErrors: odd} }
	o.Rules = func() RulesStats { return RulesStats{Refused: odd} }
	o.Webhooks = func() []WebhookStats {
		return []WebhookStats{{Name: "chat", Circuit: "odd", Calls: []WebhookCalls{{"x", "y", 1}, {"", "\n", 2}}}}
	}
	m := newMetrics(t, o)
	for range 1000 {
		m.WebhookDone(fmt.Sprint(rand.Int()), 1)
		m.Refused(nil, rand.Int(), fmt.Sprint(rand.Int()))
	}
	sameSeries(t, before, scrape(t, m))
}

// TestLabelsUnderHostileClients: nothing that clients do makes a series (HRD-86).
func TestLabelsUnderHostileClients(t *testing.T) {
	var srv *node.Server
	var m *Metrics
	o := allSources()
	o.Node = func() node.Stats { return srv.Stats() }
	m = newMetrics(t, o)
	srv, url := serve(t, node.Config{Refused: m.Refused}, func(srv *node.Server) {
		ns := srv.OfPattern("/{name...}")
		for _, h := range []Handlers{srv, ns} {
			m.Instrument(h)
		}
		ns.Use(func(next node.ConnectFunc) node.ConnectFunc {
			return func(ctx context.Context, s *node.Socket) error {
				if strings.HasPrefix(s.Namespace().Name(), "/no") {
					return errors.New("no")
				}
				_ = s.Join(ctx, s.Namespace().Name()+"-room")
				return next(ctx, s)
			}
		})
		node.On(ns, "panic", func(context.Context, *node.Socket, node.Args) error { panic("!") })
	})
	before := scrape(t, m)
	for _, path := range []string{"/", "/socket.io/", "/socket.io/?EIO=9", "/socket.io/?EIO=4&transport=%22}%0a", "/socket.io/?EIO=4&transport=polling&sid=x"} {
		for _, method := range []string{"GET", "POST", "PUT", "ODD"} {
			r, _ := http.NewRequest(method, url+path, strings.NewReader("x"))
			r.Header.Set("User-Agent", fmt.Sprintf("{%d}", rand.Int()))
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
	}
	for i := range 20 {
		name := fmt.Sprintf("/n%d-%q", i, `"}{`)
		hostile(t, url, "40"+name+",", "42"+name+`,["event`+fmt.Sprint(i)+`",1]`, "42"+name+`,["\"}\n",1]`)
		hostile(t, url, "40/no"+name+",{\"token\":1}", "42/no"+name+`,["x"]`)
		hostile(t, url, "40"+name+",", "42"+name+`,["panic"]`)
		hostile(t, url, "40"+name+",", "\x00", "9", `451-["x"`)
	}
	after := scrape(t, m)
	sameSeries(t, before, after)
	for _, s := range []string{
		`fanwire_event_duration_seconds_count{result="ok"}`, `fanwire_connect_duration_seconds_count{result="accepted"}`,
		`fanwire_connect_duration_seconds_count{result="refused"}`, `fanwire_requests_refused_total{cause="transport_unknown"}`,
		`fanwire_panics_total{where="event"}`, `fanwire_connects_total{result="refused"}`, `fanwire_bad_packets_total`,
	} {
		if value(t, after, s) == "0" {
			t.Errorf("%s: this test does not do what it should", s)
		}
	}
}

// hostile sends frames over WebSocket and waits until the server closes the session,
// or has answered what it answers.
func hostile(t *testing.T, url string, frames ...string) {
	t.Helper()
	ws, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(url, "http")+"/socket.io/?EIO=4&transport=websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	_ = ws.SetReadDeadline(time.Now().Add(patience))
	read := func() bool { _, _, err := ws.ReadMessage(); return err == nil }
	read() // the handshake
	for i, f := range append(frames, "40/end,", `4`) {
		if ws.WriteMessage(websocket.TextMessage, []byte(f)) != nil {
			return
		}
		if i == 0 && !read() {
			return
		}
	}
	for read() {
	}
}

// promtool is Prometheus's own tool.
func promtool(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("promtool")
	switch {
	case err == nil:
	case os.Getenv("FANWIRE_REQUIRE_ALL") != "":
		t.Fatal("promtool is missing (Debian: prometheus)")
	default:
		t.Skip("promtool is not installed (Debian: prometheus)")
	}
	return path
}

// TestPromtool has the text checked by the tool that operators use.
func TestPromtool(t *testing.T) {
	m := newMetrics(t, allSources())
	problems, err := testutil.GatherAndLint(m.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "fanwire_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	cmd := exec.Command(promtool(t), "check", "metrics")
	cmd.Stdin = strings.NewReader(scrape(t, m))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}

// BenchmarkScrape is what one scrape costs with so many namespaces.
func BenchmarkScrape(b *testing.B) {
	for _, namespaces := range []int{1, 1000} {
		b.Run(fmt.Sprintf("namespaces=%d", namespaces), func(b *testing.B) {
			srv, _ := serve(b, node.Config{Adapter: new(adapter.Hub).Factory}, nil)
			for i := range namespaces {
				srv.Of(fmt.Sprint(i))
			}
			o := allSources()
			o.Node = srv.Stats
			h := newMetrics(b, o).Handler()
			r := httptest.NewRequest("GET", "/metrics", nil)
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
}
