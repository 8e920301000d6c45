// Package demo is `fanwire demo`: a cluster in one process, to look at. It starts
// an embedded Redis (or uses a real one), some nodes, each with a Redis client
// and a port of its own, and a small balancer in front, which also serves a chat
// page. It is an ordinary user of the packages node and adapter/redis.
package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/fanwire/fanwire/internal/listener"
)

// Config configures the demo. The zero value works.
type Config struct {
	// Listen is the balancer's address, "127.0.0.1:3000" by default. Port 0 picks
	// a free one.
	Listen string
	// Nodes is the number of nodes, 3 by default and at most 64.
	Nodes int
	// Redis is the address of a Redis to use, as host:port or redis:// URL. Empty
	// means an embedded one.
	Redis string
	// ClientDir is a folder with the bundle of the official client
	// (socket.io.min.js and so on). Without it the page loads that from the
	// official CDN.
	ClientDir string
	// Logger is slog.Default() if nil.
	Logger *slog.Logger
}

const (
	maxNodes     = 64
	readyTimeout = 10 * time.Second
	stopTimeout  = 10 * time.Second
	// drainSpread is the time over which the clients of a demo that ends are let go:
	// as a gateway does it (HRD-70), but short, since somebody waits for the prompt.
	drainSpread = time.Second
)

func (c *Config) check() error {
	c.Listen = cmp.Or(c.Listen, "127.0.0.1:3000")
	c.Nodes = cmp.Or(c.Nodes, 3)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	var errs []error
	if c.Nodes < 1 || c.Nodes > maxNodes {
		errs = append(errs, fmt.Errorf("demo: %d nodes: between 1 and %d are possible", c.Nodes, maxNodes))
	}
	if c.ClientDir != "" {
		if _, err := clientFile(c.ClientDir); err != nil {
			errs = append(errs, err)
		}
	}
	if _, err := redisOptions(c.Redis); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Demo is a running demo.
type Demo struct {
	redis    *miniredis.Miniredis // nil with a real one
	nodes    []*member
	balancer *balancer
	front    *listener.Server
}

// Start starts Redis, nodes and balancer, and returns when the nodes hear each
// other. What was started is stopped again on an error.
func Start(ctx context.Context, cfg Config) (_ *Demo, err error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	d := &Demo{}
	defer func() {
		if err != nil {
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
			defer cancel()
			err = errors.Join(err, d.Shutdown(stop))
		}
	}()
	if cfg.Redis == "" {
		if d.redis, err = miniredis.Run(); err != nil {
			return nil, fmt.Errorf("demo: embedded Redis: %w", err)
		}
		cfg.Redis = d.redis.Addr()
	}
	// A client takes a descriptor at the balancer, and each session one at either
	// end of the balancer's connection to the node.
	third := max(listener.DefaultMaxConns()/3, 1)
	inner := listener.NewSlots(third)
	for i := range cfg.Nodes {
		n, err := startMember(fmt.Sprintf("n%d", i+1), cfg, inner)
		if err != nil {
			return nil, err
		}
		d.nodes = append(d.nodes, n)
	}
	if err := d.startFront(cfg, third); err != nil {
		return nil, err
	}
	return d, d.waitReady(ctx)
}

func (d *Demo) startFront(cfg Config, maxConns int) error {
	var backends []*backend
	for _, n := range d.nodes {
		backends = append(backends, &backend{id: n.id, addr: n.front.Addr().String()})
	}
	d.balancer = newBalancer(backends, cfg.Logger)
	page, err := newSite(cfg.ClientDir, d)
	if err != nil {
		return err
	}
	front, err := listener.New(listener.Config{Handler: page, MaxConns: maxConns, Logger: cfg.Logger})
	if err != nil {
		return err
	}
	if err := front.Start(cfg.Listen); err != nil {
		return err
	}
	d.front = front
	return nil
}

// waitReady waits until every node is connected to Redis.
func (d *Demo) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for _, n := range d.nodes {
		for {
			err := n.server.Ready(ctx)
			if err == nil {
				break
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return fmt.Errorf("demo: node %s is not ready: %w", n.id, err)
			}
		}
	}
	return nil
}

// URL is the balancer's address.
func (d *Demo) URL() string { return d.front.URL() }

// drain lets the clients of all nodes go. An error says that some are left, whom
// Shutdown ends.
func (d *Demo) drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout/2)
	defer cancel()
	return d.each(func(n *member) error {
		return n.server.Drain(ctx, float64(n.server.Stats().Sessions)/drainSpread.Seconds())
	})
}

// Shutdown ends the sessions, then the ports, then Redis. It waits for all of
// them, no longer than ctx lasts.
func (d *Demo) Shutdown(ctx context.Context) error {
	var errs []error
	errs = append(errs, d.each(func(n *member) error { return n.server.Shutdown(ctx) }))
	if d.front != nil {
		errs = append(errs, d.front.Shutdown(ctx))
	}
	if d.balancer != nil {
		d.balancer.close()
	}
	errs = append(errs, d.each(func(n *member) error { return n.close(ctx) }))
	if d.redis != nil {
		d.redis.Close()
	}
	return errors.Join(errs...)
}

// each calls f for all nodes at once.
func (d *Demo) each(f func(*member) error) error {
	errs := make(chan error, len(d.nodes))
	for _, n := range d.nodes {
		go func() { errs <- f(n) }()
	}
	var all []error
	for range d.nodes {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}

// Run starts the demo, prints its addresses to out, as JSON lines if asked, and
// serves until ctx ends, which is no error. Then it lets the clients go within a
// second or two, with what is queued for them, and ends the nodes.
func Run(ctx context.Context, cfg Config, out io.Writer, asJSON bool) error {
	listener.SetMemoryLimit()
	d, err := Start(ctx, cfg)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	p := printer{out: out, json: asJSON}
	for _, l := range d.lines() {
		p.print(l)
	}
	<-ctx.Done()
	p.print(line{Event: "stopping"})
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := d.drain(stop); err != nil {
		cmp.Or(cfg.Logger, slog.Default()).Warn("clients did not leave in time", "error", err)
	}
	return errors.Join(d.Shutdown(stop), p.err)
}
