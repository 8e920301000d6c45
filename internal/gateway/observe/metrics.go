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
	// Webhooks returns the state of the configured webhooks, in any order.
	Webhooks func() []WebhookStats
	// Rules returns what became of clients' events.
	Rules func() RulesStats
	// Commands returns what backends asked for.
	Commands func() []CommandStats
	// API returns the requests to the HTTP API.
	API func() APIStats
}

// Metrics are the metrics of the process, in a registry of their own. Its methods are
// safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	timings  *timings
}

// NewMetrics makes the metrics. It reports all that is wrong with the options.
func NewMetrics(o MetricsOptions) (*Metrics, error) {
	m := &Metrics{registry: prometheus.NewRegistry(), timings: newTimings()}
	list := []prometheus.Collector{
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newSource(func() buildInfo { return buildInfo{o.Version, o.Revision} }, buildMetrics),
	}
	list = append(list, m.timings.collectors()...)
	if o.Node != nil {
		list = append(list, newSource(o.Node, slices.Concat(nodeMetrics, busMetrics)))
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
	if o.Commands != nil {
		list = append(list, newSource(o.Commands, commandMetrics))
	}
	if o.API != nil {
		list = append(list, newSource(o.API, apiMetrics))
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
