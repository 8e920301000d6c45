package observe

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fanwire/fanwire/node"
)

// Buckets of the histograms for scrapers that do not take native ones, in seconds.
var (
	fastBuckets = []float64{.0001, .0005, .001, .005, .01, .025, .05, .1, .25, .5, 1, 5}
	slowBuckets = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
)

// What [node.Config.Refused] tells, by code.
var refusalCauses = map[int]string{
	-1: "overloaded", 0: "transport unknown", 1: "session unknown", 2: "bad method", 3: "bad request", 4: "forbidden", 5: "version",
}

// timings are what is measured here, as it happens.
type timings struct {
	events, connects, hooks *prometheus.HistogramVec
	refused                 *prometheus.CounterVec

	mu        sync.Mutex // guards hookNames and the series of hooks
	hookNames []string
}

func newTimings() *timings {
	t := &timings{
		events:   histogram("fanwire_event_duration_seconds", "Time from the start of an event's handling to its end, calls of webhooks included, by whether it failed.", "result", fastBuckets),
		connects: histogram("fanwire_connect_duration_seconds", "Time that the checks of a client took that wanted to join a namespace, calls of webhooks included, by result.", "result", fastBuckets),
		hooks:    histogram("fanwire_webhook_duration_seconds", "Time that a call of a webhook took, with all retries and the wait for its turn.", "webhook", slowBuckets),
		refused:  counterVec("fanwire_requests_refused_total", "Requests of clients that were refused before there was a session, or for one that there is not, by cause.", "cause"),
	}
	t.begin()
	return t
}

func histogram(name, help, label string, buckets []float64) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  100,
		NativeHistogramMinResetDuration: time.Hour,
	}, []string{label})
}

func counterVec(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

// begin makes all series that there can be, so that rates are right from the first.
func (t *timings) begin() {
	for _, result := range []string{"ok", "error"} {
		t.events.WithLabelValues(result)
	}
	for _, result := range []string{"accepted", "refused"} {
		t.connects.WithLabelValues(result)
	}
	for _, cause := range refusalCauses {
		t.refused.WithLabelValues(label(cause))
	}
	t.refused.WithLabelValues(other)
}

func (t *timings) collectors() []prometheus.Collector {
	return []prometheus.Collector{t.events, t.connects, t.hooks, t.refused}
}

// known is a name as a label value if it is one of list, else "other".
func known(name string, list []string) string {
	if slices.Contains(list, name) {
		return label(name)
	}
	return other
}

// SetWebhooks tells the names of the webhooks that [Metrics.WebhookDone] is called for
// from now on, also after a reload. What was measured of others is forgotten.
func (m *Metrics) SetWebhooks(names ...string) {
	t := m.timings
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, old := range t.hookNames {
		if !slices.Contains(names, old) {
			t.hooks.DeleteLabelValues(old)
		}
	}
	t.hookNames = slices.Clone(names)
	for _, name := range names {
		t.hooks.WithLabelValues(name)
	}
}

// WebhookDone measures a call of a webhook. Those that SetWebhooks did not name are
// passed over.
func (m *Metrics) WebhookDone(name string, took time.Duration) {
	t := m.timings
	t.mu.Lock()
	defer t.mu.Unlock()
	if slices.Contains(t.hookNames, name) {
		t.hooks.WithLabelValues(name).Observe(took.Seconds())
	}
}

// Refused is for [node.Config.Refused].
func (m *Metrics) Refused(_ *http.Request, code int, _ string) {
	cause, ok := refusalCauses[code]
	if !ok {
		cause = other
	}
	m.timings.refused.WithLabelValues(label(cause)).Inc()
}

// Handlers is what [Metrics.Instrument] needs of a namespace, pattern or server.
type Handlers interface {
	Use(mw func(next node.ConnectFunc) node.ConnectFunc)
	UseEvent(mw func(next node.EventFunc) node.EventFunc)
}

// Instrument measures how long the middlewares for connections, and the handling of
// events, take. It is to be called before other middlewares are registered: what runs
// outside of it is not measured.
func (m *Metrics) Instrument(h Handlers) {
	accepted, refused := m.timings.connects.WithLabelValues("accepted"), m.timings.connects.WithLabelValues("refused")
	h.Use(func(next node.ConnectFunc) node.ConnectFunc {
		return func(ctx context.Context, s *node.Socket) error {
			begin := time.Now()
			err := next(ctx, s)
			observe(begin, err, accepted, refused)
			return err
		}
	})
	ok, failed := m.timings.events.WithLabelValues("ok"), m.timings.events.WithLabelValues("error")
	h.UseEvent(func(next node.EventFunc) node.EventFunc {
		return func(ctx context.Context, s *node.Socket, e node.Event) error {
			begin := time.Now()
			err := next(ctx, s, e)
			observe(begin, err, ok, failed)
			return err
		}
	})
}

func observe(begin time.Time, err error, ok, failed prometheus.Observer) {
	if err != nil {
		ok = failed
	}
	ok.Observe(time.Since(begin).Seconds())
}
