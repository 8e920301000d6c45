package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/fanwire/fanwire/internal/gateway/api"
	"github.com/fanwire/fanwire/internal/gateway/command"
	"github.com/fanwire/fanwire/internal/gateway/config"
	"github.com/fanwire/fanwire/internal/gateway/identity"
	"github.com/fanwire/fanwire/internal/gateway/rules"
	"github.com/fanwire/fanwire/internal/gateway/webhook"
)

// revocationsWait is how long the start waits for what was revoked before. Until
// it is known the node is not ready.
const revocationsWait = time.Second

var errRevocations = errors.New("what was revoked is not known yet")

// parts do what is configured with clients, their events and backends.
type parts struct {
	// Static after newParts.
	revocations *identity.Revocations
	verifier    *identity.Verifier
	sentry      *identity.Sentry
	rules       *rules.Rules
	api         *api.API

	limits  atomic.Pointer[command.Limits] // of the API
	hooks   hooks                          // guarded by Gateway.reloading
	inForce atomic.Pointer[hooks]          // the same, for metrics
}

// hooks are the configured webhooks by name.
type hooks map[string]configuredHook

type configuredHook struct {
	*webhook.Hook
	cfg    config.Webhook
	limits command.Limits
}

// newHooks makes the hooks of a configuration. Those that have not changed are
// kept, with their connections and circuits.
func (w *watch) newHooks(cfg *config.Config, old hooks) (hooks, error) {
	limits := commandLimits(cfg)
	limits.Self = true
	list, errs := hooks{}, []error(nil)
	for name, c := range cfg.Webhooks {
		if h, ok := old[name]; ok && h.limits == limits && reflect.DeepEqual(h.cfg, c) {
			list[name] = h
			continue
		}
		h, err := webhook.New(name, c, webhook.Options{Limits: limits, Inject: w.inject, Logger: w.logger})
		if err != nil {
			errs = append(errs, err)
			continue
		}
		list[name] = configuredHook{h, c, limits}
	}
	if err := errors.Join(errs...); err != nil {
		list.closeBut(old)
		return nil, err
	}
	return list, nil
}

// closeBut closes the hooks that are not among others.
func (h hooks) closeBut(others hooks) {
	for name, hook := range h {
		if others[name].Hook != hook.Hook {
			hook.Close()
		}
	}
}

// compile makes a table of rules.
func (w *watch) compile(cfg *config.Config, list hooks) (*rules.Table, error) {
	byName := make(map[string]rules.Hook, len(list))
	for name, h := range list {
		byName[name] = watchedHook{h.Hook, w}
	}
	namespaces := cfg.Namespaces
	if len(namespaces) == 0 {
		namespaces = []config.Namespace{{Name: "/", Auth: []string{"anonymous"}}}
	}
	return rules.Compile(rules.Settings{Namespaces: namespaces, Limits: cfg.Limits, Hooks: byName})
}

// commandLimits bound what backends ask for.
func commandLimits(cfg *config.Config) command.Limits {
	return command.Limits{RoomName: orNone(cfg.Limits.RoomName), Attachments: orNone(cfg.Limits.Attachments)}
}

// makeParts makes the parts. Each is there for Shutdown as soon as it is made.
func (g *Gateway) makeParts(cfg *config.Config) (err error) {
	p := &g.parts
	p.revocations = identity.NewRevocations(g.broker.client, identity.RevocationOptions{Key: cfg.Redis.Prefix, Logger: g.log})
	p.verifier, err = identity.NewVerifier(cfg.Auth.JWT, identity.Options{Revocations: p.revocations, Logger: g.log})
	if err != nil {
		return err
	}
	p.sentry = identity.NewSentry(g.node, p.verifier)
	if p.hooks, err = g.watch.newHooks(cfg, nil); err != nil {
		return err
	}
	p.inForce.Store(new(p.hooks))
	g.watch.name(p.hooks)
	table, err := g.watch.compile(cfg, p.hooks)
	if err != nil {
		return err
	}
	p.rules = rules.New(g.node, table, rules.Options{
		Verifier:       p.verifier,
		Revoked:        p.revocations.Revoked,
		Sentry:         p.sentry,
		ConnectTimeout: cfg.SocketIO.ConnectTimeout,
		Redis:          g.broker.once,
		Before:         g.watch.instrument,
		Logger:         g.log,
	})
	limits := commandLimits(cfg)
	p.limits.Store(&limits)
	p.api, err = api.New(api.Options{
		Config:      cfg.API,
		Server:      g.node,
		Runner:      p.rules.Runner(),
		Namespaces:  p.rules,
		Limits:      func() command.Limits { return *p.limits.Load() },
		Revocations: p.revocations,
		Redis:       g.broker.client,
		Key:         cfg.Redis.Prefix,
		Logger:      g.log,
		Version:     g.opts.Version,
		Ready:       g.Ready,
		Trace: func(r *http.Request, operation string) (*http.Request, func(error)) {
			return g.watch.tracing.Serve(r, "api "+operation)
		},
	})
	return err
}

// startParts begins to hear of revocations and to watch tokens.
func (g *Gateway) startParts(ctx context.Context) {
	wait, cancel := context.WithTimeout(ctx, revocationsWait)
	defer cancel()
	if err := g.parts.revocations.Start(wait); err != nil {
		g.log.Error("revoked tokens are not known yet", "error", err)
	}
	g.parts.sentry.Start()
	g.tasks.Go(func() { // ends with the fetch, which has a deadline
		fetch, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchWait)
		defer cancel()
		if err := g.parts.verifier.Fetch(fetch); err != nil {
			g.log.Warn("keys of tokens", "error", err)
		}
	})
}

// fetchWait bounds the first look at a key set, which is nobody's request.
const fetchWait = 10 * time.Second

// closeParts ends the parts once no client is left.
func (g *Gateway) closeParts(ctx context.Context) error {
	p := &g.parts
	var err error
	if p.rules != nil {
		err = p.rules.Close(ctx)
	}
	g.reloading.Lock()
	p.hooks.closeBut(nil)
	p.hooks = nil
	g.reloading.Unlock()
	if p.sentry != nil {
		p.sentry.Close()
	}
	if p.verifier != nil {
		p.verifier.Close()
	}
	if p.revocations != nil {
		p.revocations.Close()
	}
	return err
}

// replaceParts puts the configuration of the parts into force; all of it or, on an
// error, none.
func (g *Gateway) replaceParts(old, cfg *config.Config) error {
	p := &g.parts
	list, err := g.watch.newHooks(cfg, p.hooks)
	if err != nil {
		return err
	}
	table, err := g.watch.compile(cfg, list)
	if err != nil {
		list.closeBut(p.hooks)
		return err
	}
	if err := inOrder(old, cfg,
		step{"limits", func(c *config.Config) error { return g.node.SetLimits(nodeLimits(&c.Limits, 0)) }},
		step{"api", func(c *config.Config) error { return p.api.Reload(c.API) }},
		step{"auth", func(c *config.Config) error { return p.verifier.Reload(c.Auth.JWT) }},
	); err != nil {
		list.closeBut(p.hooks)
		return err
	}
	limits := commandLimits(cfg)
	p.limits.Store(&limits)
	p.rules.Replace(table)
	p.inForce.Store(&list)
	g.watch.name(list)
	p.hooks.closeBut(list)
	p.hooks = list
	return nil
}

// step puts a section of a configuration into force, or changes nothing.
type step struct {
	name string
	do   func(*config.Config) error
}

// inOrder does steps until one fails, then those before it again with the old
// configuration, which was in force.
func inOrder(old, cfg *config.Config, steps ...step) error {
	for i, s := range steps {
		err := s.do(cfg)
		if err == nil {
			continue
		}
		errs := []error{fmt.Errorf("%s: %w", s.name, err)}
		for _, before := range steps[:i] {
			errs = append(errs, before.do(old))
		}
		return errors.Join(errs...)
	}
	return nil
}
