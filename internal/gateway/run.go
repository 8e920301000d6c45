package gateway

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

const (
	// readyPatience is how long systemd waits for Redis before it hears that the
	// service is up all the same.
	readyPatience = 10 * time.Second
	// leastShutdown is what of drain.timeout is kept for the end.
	leastShutdown = 5 * time.Second
)

// Run starts the gateway and serves until ctx ends, which is no error; then it
// drains and shuts down, within drain.timeout. SIGHUP reloads the configuration. It
// is called instead of Start and Shutdown.
func (g *Gateway) Run(ctx context.Context) error {
	goredis.SetLogger(redisLog{g})
	if err := g.Start(ctx); err != nil {
		return errors.Join(err, g.Shutdown(context.WithoutCancel(ctx)))
	}
	if g.opts.Started != nil {
		g.opts.Started(g.Endpoints())
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	ready := make(chan struct{})
	go func() { // ends with ctx, or within readyPatience
		defer close(ready)
		g.announceReady(ctx)
	}()
	g.serve(ctx, hangup)
	<-ready
	return g.stop(context.WithoutCancel(ctx))
}

// announceReady tells log and systemd when the node is ready.
func (g *Gateway) announceReady(ctx context.Context) {
	wait, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	err := g.waitReady(wait)
	if ctx.Err() != nil {
		return
	}
	status := "serving"
	if err != nil {
		status = "serving without Redis"
		g.log.Error("not ready", "error", err)
	} else {
		g.log.Info("ready")
	}
	g.tell("READY=1\nSTATUS=" + status)
}

// tell notifies systemd.
func (g *Gateway) tell(state string) {
	if err := notify(state); err != nil {
		g.log.Warn("systemd cannot be told", "error", err)
	}
}

// serve waits for the end of ctx and does what is asked for meanwhile.
func (g *Gateway) serve(ctx context.Context, hangup <-chan os.Signal) {
	var watchdog <-chan time.Time
	if period := watchdogPeriod(); period > 0 {
		tick := time.NewTicker(period)
		defer tick.Stop()
		watchdog = tick.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-watchdog:
			g.node.Stats() // takes the locks on which a node could hang
			g.tell("WATCHDOG=1")
		case <-hangup:
			g.reloadConfig()
		}
	}
}

// reloadConfig is what SIGHUP does.
func (g *Gateway) reloadConfig() {
	if g.opts.Load == nil {
		g.log.Warn("SIGHUP: there is no configuration to read again")
		return
	}
	g.tell("RELOADING=1" + monotonic())
	defer g.tell("READY=1")
	cfg, err := g.opts.Load()
	if err == nil {
		err = g.Reload(cfg)
	}
	if err != nil {
		g.log.Error("the configuration was not read again: the old one stays", "error", err)
		return
	}
	g.log.Info("the configuration was read again")
}

// stop is the orderly end, within drain.timeout.
func (g *Gateway) stop(ctx context.Context) error {
	g.tell("STOPPING=1\nSTATUS=draining")
	timeout := g.cfg.Load().Drain.Timeout
	if timeout <= 0 {
		timeout = leastShutdown
	}
	g.log.Info("draining", "sessions", g.node.Stats().Sessions, "timeout", timeout)
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	drain, cancelDrain := context.WithTimeout(ctx, max(timeout-leastShutdown, timeout/2))
	defer cancelDrain()
	if err := g.Drain(drain); err != nil {
		g.log.Warn("clients did not leave in time", "error", err)
	}
	if err := g.Shutdown(ctx); err != nil {
		return err
	}
	g.log.Info("stopped")
	return nil
}

// Drain lets the clients go (HRD-70): the node is not ready from now on, after
// drain.delay it takes no new sessions, and over drain.spread its clients are let
// go. It returns when none is left, or with an error when ctx ends.
func (g *Gateway) Drain(ctx context.Context) error {
	g.stopServing()
	d := g.cfg.Load().Drain
	if g.broker.embedded != nil {
		d.Delay = 0 // no other node could take new clients
	}
	if err := pause(ctx, d.Delay); err != nil {
		return fmt.Errorf("gateway: drain: %w", err)
	}
	perSecond := 0.0 // all at once
	if d.Spread > 0 {
		perSecond = max(float64(g.node.Stats().Sessions)/d.Spread.Seconds(), 0.001)
	}
	if err := g.node.Drain(ctx, perSecond); err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	return nil
}

// pause waits for d, or for the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
