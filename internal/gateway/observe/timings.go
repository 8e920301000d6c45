package observe

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fanwire/fanwire/node"
)

// Buckets of the histograms for scrapers that do not take native ones, in seconds.
var (
	fastBuckets = []float64{.0001, .0005, .001, .005, .01, .025, .05, .1, .25, .5, 1, 5}
	slowBuckets = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
)

// What ends a request to a webhook.
var webhookResults = []string{"ok", "refused", "status", "timeout", "busy", "open", "error"}

// What [node.Config.Refused] tells, by code.
var refusalCauses = map[int]string{
	-1: "overloaded", 0: "transport unknown", 1: "session unknown", 2: "bad method", 3: "bad request", 4: "forbidden", 5: "version",
}

// timings are what is measured here, as it happens.
type timings struct {
	events, connects   *prometheus.HistogramVec
	hooks, api         *prometheus.HistogramVec
	hookCalls, apiDone *prometheus.CounterVec
	refused            *prometheus.CounterVec

	hookNames, operations []string
}

func newTimings(hookNames, operations []string) *timings {
	t := &timings{
		events:    histogram("fanwire_event_duration_seconds", "Time from the start of an event's handling to its end, calls of webhooks included, by whether it failed.", "result", fastBuckets),
		connects:  histogram("fanwire_connect_duration_seconds", "Time that the checks of a client took that wanted to join a namespace, calls of webhooks included, by result.", "result", fastBuckets),
		hooks:     histogram("fanwire_webhook_duration_seconds", "Time that a call of a webhook took, with all retries and the wait for its turn.", "webhook", slowBuckets),
		api:       histogram("fanwire_api_duration_seconds", "Time that a request to the HTTP API took.", "operation", fastBuckets),
		hookCalls: counterVec("fanwire_webhook_calls_total", "Calls of a webhook, by result: ok, refused (by a connect webhook), status (not 2xx), timeout, busy (too many waited), open (circuit), error.", "webhook", "result"),
		apiDone:   counterVec("fanwire_api_requests_total", "Requests to the HTTP API, by the class of the status.", "operation", "status"),
		refused:   counterVec("fanwire_requests_refused_total", "Requests of clients that were refused before there was a session, or for one that there is not, by cause.", "cause"),

		hookNames: hookNames, operations: operations,
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
	for _, hook := range append(slices.Clone(t.hookNames), other) {
		t.hooks.WithLabelValues(hook)
		for _, result := range append(slices.Clone(webhookResults), other) {
			t.hookCalls.WithLabelValues(hook, result)
		}
	}
	for _, operation := range append(slices.Clone(t.operations), other) {
		t.api.WithLabelValues(operation)
		for _, status := range []string{"2xx", "3xx", "4xx", "5xx"} {
			t.apiDone.WithLabelValues(operation, status)
		}
	}
	for _, cause := range refusalCauses {
		t.refused.WithLabelValues(label(cause))
	}
	t.refused.WithLabelValues(other)
}

func (t *timings) collectors() []prometheus.Collector {
	return []prometheus.Collector{t.events, t.connects, t.hooks, t.hookCalls, t.api, t.apiDone, t.refused}
}

// known is a name if it is one of list, else "other".
func known(name string, list []string) string {
	if slices.Contains(list, name) {
		return label(name)
	}
	return other
}

// WebhookDone counts a call of a configured webhook. Result is ok, refused (a connect
// webhook has refused the client), status, timeout, busy, open or error.
func (m *Metrics) WebhookDone(name, result string, took time.Duration) {
	t := m.timings
	name = known(name, t.hookNames)
	t.hookCalls.WithLabelValues(name, known(result, webhookResults)).Inc()
	t.hooks.WithLabelValues(name).Observe(took.Seconds())
}

// APIDone counts a request to the HTTP API, by the id of its operation in the OpenAPI
// document.
func (m *Metrics) APIDone(operation string, status int, took time.Duration) {
	t := m.timings
	operation = known(operation, t.operations)
	t.apiDone.WithLabelValues(operation, statusClass(status)).Inc()
	t.api.WithLabelValues(operation).Observe(took.Seconds())
}

func statusClass(status int) string {
	switch {
	case status < 300:
		return "2xx"
	case status < 400:
		return "3xx"
	case status < 500:
		return "4xx"
	}
	return "5xx"
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
