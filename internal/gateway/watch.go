package gateway

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"slices"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/internal/gateway/command"
	"github.com/fanwire/fanwire/internal/gateway/config"
	"github.com/fanwire/fanwire/internal/gateway/observe"
	"github.com/fanwire/fanwire/internal/gateway/rules"
	"github.com/fanwire/fanwire/internal/gateway/webhook"
	"github.com/fanwire/fanwire/internal/listener"
	"github.com/fanwire/fanwire/node"
)

// watch shows what the gateway does: log, metrics, traces.
type watch struct {
	log     *observe.Log     // nil with a logger of the caller's
	logger  *slog.Logger     // for webhooks
	metrics *observe.Metrics // nil without an admin listener that serves them
	tracing *observe.Tracing // nil while it is off
}

// openLog makes the logger, unless the caller has one.
func (g *Gateway) openLog(cfg *config.Config, id string) error {
	if g.opts.Logger != nil {
		g.log, g.watch.logger = g.opts.Logger, g.opts.Logger
		return nil
	}
	var to io.Writer = os.Stderr
	if g.opts.LogTo != nil {
		to = g.opts.LogTo
	}
	log, err := observe.NewLog(to, cfg.Log, id)
	if err != nil {
		return err
	}
	g.watch.log, g.log = log, log.Logger()
	g.watch.logger = g.log
	return nil
}

// makeWatch makes metrics and traces. What they ask is there once New has returned.
func (g *Gateway) makeWatch(cfg *config.Config, id string) (err error) {
	g.watch.tracing, err = observe.NewTracing(cfg.Tracing, observe.TracingOptions{Version: g.opts.Version, Node: id, Logger: g.log})
	if err != nil || !cfg.Admin.Metrics || !adminOn(cfg) {
		return err
	}
	g.watch.metrics, err = observe.NewMetrics(observe.MetricsOptions{
		Version:  g.opts.Version,
		Revision: g.opts.Revision,
		Node:     func() node.Stats { return g.node.Stats() },
		Cluster:  func() int { return len(g.node.Nodes()) },
		Ready:    g.readyNow,
		Listeners: map[string]func() listener.Stats{
			"client": func() listener.Stats { return g.ports.find(clientsRole).Stats() },
			"admin":  func() listener.Stats { return g.ports.find(adminRole).Stats() },
		},
		Redis:    func() observe.RedisStats { return poolStats(g.broker.client.PoolStats()) },
		Webhooks: g.webhookStats,
		Rules:    func() observe.RulesStats { return rulesStats(g.parts.rules.Stats()) },
		Commands: func() []observe.CommandStats { return commandStats(g.parts.rules.Runner().Stats()) },
		API:      func() observe.APIStats { return observe.APIStats(g.parts.api.Stats()) },
	})
	return err
}

func poolStats(s *goredis.PoolStats) observe.RedisStats {
	return observe.RedisStats{
		Connections: int(s.TotalConns),
		Idle:        int(s.IdleConns),
		Hits:        uint64(s.Hits),
		Misses:      uint64(s.Misses),
		Timeouts:    uint64(s.Timeouts),
		Stale:       uint64(s.StaleConns),
	}
}

// webhookStats are those of the hooks that are in force.
func (g *Gateway) webhookStats() []observe.WebhookStats {
	list := *g.parts.inForce.Load()
	var all []observe.WebhookStats
	for _, name := range slices.Sorted(maps.Keys(list)) {
		s := list[name].Stats()
		w := observe.WebhookStats{
			Name:     name,
			InFlight: s.InFlight,
			Waiting:  s.Waiting,
			Retries:  s.Retries,
			Circuit:  s.Circuit.String(),
			Opened:   s.Opened,
		}
		for kind, outcomes := range s.Calls {
			for outcome, n := range outcomes {
				w.Calls = append(w.Calls, observe.WebhookCalls{Type: string(kind), Outcome: outcome.String(), Count: n})
			}
		}
		all = append(all, w)
	}
	return all
}

func commandStats(s command.Stats) []observe.CommandStats {
	var all []observe.CommandStats
	for kind, n := range s.Kinds {
		all = append(all, observe.CommandStats{Kind: string(kind), Done: n.Done, Failed: n.Failed})
	}
	return all
}

func rulesStats(s rules.Stats) observe.RulesStats {
	refused := make(map[string]uint64, len(s.Refused))
	for code, n := range s.Refused {
		refused[string(code)] = n
	}
	return observe.RulesStats{
		Relayed: s.Relayed, Partly: s.Partly, HookOK: s.HookOK, HookFailed: s.HookFailed, Streamed: s.Streamed,
		Joined: s.Joined, Left: s.Left, Ignored: s.Ignored, Unmatched: s.Unmatched,
		Refused:   refused,
		Refreshed: s.Refreshed, RefreshFailed: s.RefreshFailed,
		ActionsFailed: s.ActionsFailed, Panics: s.Panics,
		Notified: s.Notified, NotifyFailed: s.NotifyFailed, NotifyDropped: s.NotifyDropped,
		StreamsWaiting: s.StreamsWaiting, NotifyWaiting: s.NotifyWaiting,
		HeldNamespaces: s.HeldNamespaces, LimitedSockets: s.LimitedSockets,
	}
}

// watchedHook is a webhook whose calls are timed and followed.
type watchedHook struct {
	*webhook.Hook
	*watch
}

// Call is the hook's.
func (h watchedHook) Call(ctx context.Context, req webhook.Request) (webhook.Response, error) {
	begin := time.Now()
	ctx, _, end := h.tracing.Call(ctx, "webhook "+h.Name())
	res, err := h.Hook.Call(ctx, req)
	end(err)
	if h.metrics != nil {
		h.metrics.WebhookDone(h.Name(), time.Since(begin))
	}
	return res, err
}

// inject adds the trace of a call to its request.
func (w *watch) inject(ctx context.Context, h http.Header) {
	if parent := w.tracing.Inject(ctx); parent != "" {
		h.Set("Traceparent", parent)
	}
}

// name tells the metrics the names of the webhooks.
func (w *watch) name(list hooks) {
	if w.metrics != nil {
		w.metrics.SetWebhooks(slices.Sorted(maps.Keys(list))...)
	}
}

// instrument measures what the rules do with clients and events.
func (w *watch) instrument(h rules.Handlers) {
	if w.metrics != nil {
		w.metrics.Instrument(h)
	}
}

// closeWatch sends what waits.
func (g *Gateway) closeWatch(ctx context.Context) error {
	err := g.watch.tracing.Shutdown(ctx)
	if g.watch.log != nil {
		g.watch.log.Close()
	}
	return err
}

// redisLog is where the Redis client's own words go.
type redisLog struct{ *Gateway }

// Printf implements go-redis's logger.
func (l redisLog) Printf(_ context.Context, format string, v ...any) {
	l.log.Debug("redis client", "message", fmt.Sprintf(format, v...))
}
