// Package gateway is `fanwire serve`: the ready server, an ordinary user of package
// node. This package puts the parts together and knows what none of them knows: the
// listeners, Redis, and the order in which all of it begins and ends. What the parts
// do is in the packages below (docs/decisions/0009-gateway.md).
package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/fanwire/fanwire/internal/gateway/adminui"
	"github.com/fanwire/fanwire/internal/gateway/config"
	"github.com/fanwire/fanwire/internal/gateway/loadtest"
	"github.com/fanwire/fanwire/internal/listener"
	"github.com/fanwire/fanwire/node"
)

// Options are what the configuration does not say. The zero value works.
type Options struct {
	// LogTo is where log lines go, as the configuration says; standard error if nil.
	LogTo io.Writer
	// Logger, if not nil, gets them instead, with its own format and level.
	Logger *slog.Logger
	// Load reads the configuration again, when Run gets SIGHUP. Nil: it is ignored.
	Load func() (*config.Config, error)
	// Started hears, in Run, where the gateway listens.
	Started func([]Endpoint)
	// Version of the program, and Revision of its source.
	Version, Revision string
}

// Endpoint is something that the gateway listens on.
type Endpoint struct {
	Role string `json:"role"` // clients, admin, peers, redis
	URL  string `json:"url"`
}

// Gateway is a node of the cluster with everything that `fanwire serve` has. Its
// methods are safe for concurrent use, but for Start.
type Gateway struct {
	// Static after New.
	opts   Options
	log    *slog.Logger
	broker *broker
	watch  watch
	node   *node.Server
	parts  parts
	ports  ports

	adminUI *adminui.UI // nil while it is off

	cfg     atomic.Pointer[config.Config]
	serving atomic.Bool // between Start and Drain
	leaving chan struct{}
	leave   sync.Once

	reloading sync.Mutex // one Reload at a time
	tasks     sync.WaitGroup
}

// New puts a gateway together, which is to be ended by Shutdown. It reads the files
// that cfg names, and neither listens nor connects. Where the process has no memory
// limit (GOMEMLIMIT), it gets one that the control group allows (HRD-75).
func New(cfg *config.Config, opts Options) (_ *Gateway, err error) {
	g := &Gateway{opts: opts, leaving: make(chan struct{})}
	g.cfg.Store(cfg)
	id := nodeID(cfg)
	if err := g.openLog(cfg, id); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	if limit := listener.SetMemoryLimit(); limit > 0 { // before what takes its share of it is made
		g.log.Info("memory limit", "bytes", limit)
	}
	if g.broker, err = newBroker(&cfg.Redis, g.log); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("gateway: %w", err), g.Shutdown(context.Background()))
		}
	}()
	conns := shareOut(cfg.Listen.MaxConnections, listener.DefaultMaxConns())
	if err := g.makeWatch(cfg, id); err != nil {
		return nil, err
	}
	nodeCfg, err := nodeConfig(cfg, g.log, conns.forwarded)
	if err != nil {
		return nil, err
	}
	nodeCfg.NodeID, nodeCfg.Tracer = id, g.watch.tracing.Tracer()
	if g.watch.metrics != nil {
		nodeCfg.Refused = g.watch.metrics.Refused
	}
	if nodeCfg.Adapter, err = g.broker.adapter(&cfg.Redis, g.log); err != nil {
		return nil, err
	}
	if g.node, err = node.New(nodeCfg); err != nil {
		return nil, err
	}
	if err := g.mountAdminUI(cfg); err != nil {
		return nil, err
	}
	if cfg.LoadTest {
		loadtest.Mount(g.node.Of(config.LoadTestNamespace))
	}
	if err := g.makeParts(cfg); err != nil {
		return nil, err
	}
	if err := g.makePorts(cfg, conns); err != nil {
		return nil, err
	}
	return g, nil
}

// Start listens and connects to Redis. It does not wait for Redis: until that is
// there the gateway is not ready, and serves those who come. It is called once.
func (g *Gateway) Start(ctx context.Context) error {
	cfg := g.cfg.Load()
	if err := g.broker.start(); err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	g.startParts(ctx)
	if err := g.ports.start(cfg); err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	if err := g.advertise(cfg); err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	g.serving.Store(true)
	probe, cancel := context.WithCancel(ctx)
	cancel()
	_ = g.node.Ready(probe) // its adapters start with the question
	return nil
}

// Logger writes to the gateway's log.
func (g *Gateway) Logger() *slog.Logger { return g.log }

// Endpoints are where the gateway listens, after Start.
func (g *Gateway) Endpoints() []Endpoint {
	list := g.ports.endpoints()
	if g.broker.embedded != nil {
		list = append(list, Endpoint{"redis", fmt.Sprint("redis://", g.broker.address.Load())})
	}
	return list
}

// Shutdown ends everything, without a word to clients but that of node.Server's
// Shutdown: [Gateway.Drain] comes first. It waits, as long as ctx lasts.
func (g *Gateway) Shutdown(ctx context.Context) error {
	g.stopServing()
	var errs []error
	if g.adminUI != nil {
		g.adminUI.Close()
	}
	if g.node != nil {
		errs = append(errs, g.node.Shutdown(ctx))
	}
	errs = append(errs, g.closeParts(ctx), g.ports.shutdown(ctx))
	g.tasks.Wait()
	errs = append(errs, g.broker.close(), g.closeWatch(ctx))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("gateway: shutdown: %w", err)
	}
	return nil
}

// stopServing makes the gateway not ready for good.
func (g *Gateway) stopServing() {
	g.serving.Store(false)
	g.leave.Do(func() { close(g.leaving) })
}
