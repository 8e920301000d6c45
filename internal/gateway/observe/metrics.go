package observe

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/fanwire/fanwire/internal/listener"
	"github.com/fanwire/fanwire/node"
)

// MetricsOptions say where the numbers come from. Functions are called for each
// scrape, concurrently; they should take microseconds and must not block. Those that
// are nil have no metrics. Names and results become label values: they come from the
// code or the configuration, never from clients (HRD-86).
type MetricsOptions struct {
	// Version and Revision of the program.
	Version, Revision string

	// Node returns [node.Server.Stats].
	Node func() node.Stats
	// Cluster returns the number of nodes that live, this one included: the length of
	// [node.Server.Nodes].
	Cluster func() int
	// Ready tells whether the node is ready, as /readyz does. It must not wait.
	Ready func() bool
	// Listeners are those of the process by their names ("client", "admin").
	Listeners map[string]func() listener.Stats
	// Redis returns the state of the connections to Redis.
	Redis func() RedisStats
	// Webhooks returns the state of the configured webhooks.
	Webhooks func() []WebhookStats
	// Rules returns what happened to clients and their events.
	Rules func() RulesStats

	// WebhookNames and Operations are those that [Metrics.WebhookDone] and
	// [Metrics.APIDone] are called with. Others are counted as "other".
	WebhookNames, Operations []string
}

// RedisStats is the pool of connections of a Redis client. The counters are those of
// the process's life.
type RedisStats struct {
	Connections int    // open now
	Idle        int    // of them
	Hits        uint64 // times that a connection was there
	Misses      uint64 // times that one had to be made
	Timeouts    uint64 // times that none was free in time
	Stale       uint64 // connections that were removed for being broken or old
}

// WebhookStats is the state of one webhook.
type WebhookStats struct {
	Name          string // in the configuration
	Running       int    // requests now
	Waiting       int    // requests that wait for their turn
	CircuitOpen   bool   // requests fail at once
	CircuitOpened uint64 // times that it has opened
	Retries       uint64 // requests that were tried again
}

// RulesStats is what the configured namespaces did.
type RulesStats struct {
	// Events by the route they took and what came of it.
	Events []EventCount
	// Connects by result: accepted, or why not.
	Connects []ResultCount
	// StreamBytes is what was appended to streams.
	StreamBytes uint64
}

// EventCount counts events. Route is relay, webhook, stream, join, leave, ignore or
// none; Result is ok, rate, forbidden, too large, unavailable or bad request, as
// clients are told.
type EventCount struct {
	Route, Result string
	Count         uint64
}

// ResultCount counts what ended in a result.
type ResultCount struct {
	Result string
	Count  uint64
}

// Metrics are the metrics of the process, in a registry of their own. Its methods are
// safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	timings  *timings
}

// NewMetrics makes the metrics. It reports all that is wrong with the options.
func NewMetrics(o MetricsOptions) (*Metrics, error) {
	m := &Metrics{registry: prometheus.NewRegistry(), timings: newTimings(o.WebhookNames, o.Operations)}
	list := []prometheus.Collector{
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newSource(func() buildInfo { return buildInfo{o.Version, o.Revision} }, buildMetrics),
	}
	list = append(list, m.timings.collectors()...)
	if o.Node != nil {
		list = append(list, newSource(o.Node, nodeMetrics), newSource(o.Node, busMetrics))
	}
	if o.Cluster != nil {
		list = append(list, newSource(o.Cluster, clusterMetrics))
	}
	if o.Ready != nil {
		list = append(list, newSource(o.Ready, readyMetrics))
	}
	if len(o.Listeners) > 0 {
		list = append(list, newSource(listenersOf(o.Listeners), listenerMetrics))
	}
	if o.Redis != nil {
		list = append(list, newSource(o.Redis, redisMetrics))
	}
	if o.Webhooks != nil {
		list = append(list, newSource(o.Webhooks, webhookMetrics))
	}
	if o.Rules != nil {
		list = append(list, newSource(o.Rules, rulesMetrics))
	}
	var errs []error
	for _, c := range list {
		errs = append(errs, m.registry.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("observe: %w", err)
	}
	return m, nil
}

// Handler serves the metrics, in the format that the scraper asks for. It serves four
// scrapes at a time, others get 503.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: 4,
		Timeout:             10 * time.Second,
		EnableOpenMetrics:   true,
	})
}

const (
	counterValue = prometheus.CounterValue
	gaugeValue   = prometheus.GaugeValue
)

// put takes one value of a metric, with the values of its labels.
type put func(v float64, labels ...string)

// metric is one metric that is read off an S.
type metric[S any] struct {
	name, help string
	kind       prometheus.ValueType
	labels     []string
	read       func(s *S, put put)
}

func counter[S any](name, help string, read func(s *S) uint64) metric[S] {
	return metric[S]{name, help, counterValue, nil, func(s *S, put put) { put(float64(read(s))) }}
}

func gauge[S any](name, help string, read func(s *S) int64) metric[S] {
	return metric[S]{name, help, gaugeValue, nil, func(s *S, put put) { put(float64(read(s))) }}
}

// counters and gauges are several values of one metric, which a label tells apart.
func counters[S any](name, help, label string, read func(s *S, put put)) metric[S] {
	return metric[S]{name, help, counterValue, []string{label}, read}
}

func gauges[S any](name, help, label string, read func(s *S, put put)) metric[S] {
	return metric[S]{name, help, gaugeValue, []string{label}, read}
}

// source reads metrics off what a function returns, once for each scrape.
type source[S any] struct {
	read    func() S
	metrics []metric[S]
	descs   []*prometheus.Desc
}

func newSource[S any](read func() S, metrics []metric[S]) *source[S] {
	s := &source[S]{read: read, metrics: metrics, descs: make([]*prometheus.Desc, len(metrics))}
	for i, m := range metrics {
		s.descs[i] = prometheus.NewDesc(m.name, m.help, m.labels, nil)
	}
	return s
}

// Describe implements [prometheus.Collector].
func (s *source[S]) Describe(to chan<- *prometheus.Desc) {
	for _, d := range s.descs {
		to <- d
	}
}

// Collect implements [prometheus.Collector].
func (s *source[S]) Collect(to chan<- prometheus.Metric) {
	v := s.read()
	for i, m := range s.metrics {
		m.read(&v, func(n float64, labels ...string) {
			c, err := prometheus.NewConstMetric(s.descs[i], m.kind, n, labels...)
			if err != nil {
				c = prometheus.NewInvalidMetric(s.descs[i], err)
			}
			to <- c
		})
	}
}

// other stands for all label values that are not known beforehand.
const other = "other"

// putKnown puts the counters of a map, each known key and the rest.
func putKnown(put put, m map[string]uint64, known ...string) {
	var rest uint64
	for key, n := range m {
		if !slices.Contains(known, key) {
			rest += n
		}
	}
	for _, key := range known {
		put(float64(m[key]), label(key))
	}
	put(float64(rest), other)
}
