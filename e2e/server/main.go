// Command server is the server under test of the end-to-end suite: every command
// that e2e/peers/official.mjs describes, on package node.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/adapter/redis"
	"github.com/fanwire/fanwire/internal/listener"
	"github.com/fanwire/fanwire/node"
	"github.com/fanwire/fanwire/protocol/msgpack"
)

// stopTime bounds the shutdown after a signal.
const stopTime = 8 * time.Second

type options struct {
	listen, redis, nodeID, parser string
	allowEIO3                     bool
	pingInterval, pingTimeout     int // ms
	maxPayload                    int
	recovery                      int // ms
	drain                         time.Duration
	drainStatus                   int
	handshakes                    int // a second
	control                       string
	sentinel, cluster             string
	adapter, mode                 string
	quiet                         bool
	advertise                     bool
	client                        string
	admin                         adminOptions
}

func parseFlags() options {
	var o options
	flag.StringVar(&o.listen, "listen", "127.0.0.1:0", "address")
	flag.StringVar(&o.redis, "redis", "", "URL; a node alone without")
	flag.StringVar(&o.adapter, "adapter", "classic", "classic, sharded or streams")
	flag.StringVar(&o.nodeID, "node-id", "n1", "name of the node")
	flag.StringVar(&o.parser, "parser", "text", "text or msgpack")
	flag.BoolVar(&o.allowEIO3, "allow-eio3", false, "accept clients of version 2")
	flag.IntVar(&o.pingInterval, "ping-interval", 25_000, "milliseconds")
	flag.IntVar(&o.pingTimeout, "ping-timeout", 20_000, "milliseconds")
	flag.IntVar(&o.maxPayload, "max-payload", 1_000_000, "bytes")
	flag.IntVar(&o.recovery, "recovery", 0, "milliseconds that a client may be away; 0: it cannot recover")
	flag.DurationVar(&o.drain, "drain", 0, "time over which clients are let go on SIGTERM; 0 ends them all at once, with nothing delivered before")
	flag.IntVar(&o.drainStatus, "drain-status", http.StatusServiceUnavailable, "of /readyz while draining; HAProxy takes 404 for it")
	flag.IntVar(&o.handshakes, "handshakes", 0, "new sessions a second, and at once; 0: no bound")
	flag.StringVar(&o.control, "control", "", "address of the control port; none without")
	flag.StringVar(&o.sentinel, "redis-sentinel", "", "the master's name and the sentinel's address, as name@host:port, instead of -redis")
	flag.StringVar(&o.cluster, "redis-cluster", "", "some addresses of a Redis Cluster, by comma, instead of -redis")
	flag.StringVar(&o.mode, "subscription-mode", "", "of the sharded adapter")
	flag.BoolVar(&o.advertise, "advertise", false, "take requests that other nodes hand on")
	flag.StringVar(&o.client, "client-dir", "", "folder with the official client's bundle")
	o.admin.register()
	flag.BoolVar(&o.quiet, "quiet", false, "log no debug records")
	flag.Parse()
	return o
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	o := parseFlags()
	level := slog.LevelDebug
	if o.quiet {
		level = slog.LevelInfo
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})))
	if err := run(ctx, o); err != nil {
		slog.Error("e2e server", "error", err)
		os.Exit(1)
	}
}

// run serves until ctx ends and then shuts down in order.
func run(ctx context.Context, o options) error {
	listener.SetMemoryLimit()
	cfg, closeRedis, err := config(o)
	if err != nil {
		return err
	}
	defer closeRedis()
	srv, err := node.New(cfg)
	if err != nil {
		return err
	}
	stopAdmin, err := o.admin.start(srv, o.nodeID)
	if err != nil {
		return err
	}
	register(srv)
	ln, err := listener.New(listener.Config{Handler: routes(srv, o.drainStatus), Shed: true})
	if err != nil {
		return err
	}
	if err := ln.Start(o.listen); err != nil {
		return err
	}
	if o.advertise {
		if err := srv.Advertise(ln.URL()); err != nil {
			return err
		}
	}
	if o.control != "" {
		stop, err := startControl(srv, o.nodeID, o.control)
		if err != nil {
			return err
		}
		defer func() { _ = stop(context.Background()) }()
	}
	if err := announce(o.nodeID, ln.URL()); err != nil {
		return err
	}
	<-ctx.Done()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.drain+stopTime)
	defer cancel()
	if o.drain > 0 {
		if err := srv.Drain(ctx, float64(srv.Stats().Sessions)/o.drain.Seconds()); err != nil {
			return err
		}
	}
	if err := srv.Shutdown(ctx); err != nil {
		return err
	}
	return errors.Join(stopAdmin(ctx), ln.Shutdown(ctx))
}

func config(o options) (cfg node.Config, closeRedis func(), err error) {
	cfg = node.Config{
		NodeID:       o.nodeID,
		AllowEIO3:    o.allowEIO3,
		PingInterval: time.Duration(o.pingInterval) * time.Millisecond,
		PingTimeout:  time.Duration(o.pingTimeout) * time.Millisecond,
		MaxPayload:   o.maxPayload,
	}
	cfg.Limits.HandshakeRate, cfg.Limits.HandshakeBurst = float64(o.handshakes), o.handshakes
	if o.recovery > 0 {
		cfg.Recovery = &node.Recovery{MaxDisconnection: time.Duration(o.recovery) * time.Millisecond}
	}
	if o.client != "" {
		cfg.ClientFiles = os.DirFS(o.client)
	}
	if o.parser == "msgpack" {
		cfg.Parser = msgpack.Parser
	}
	if o.redis == "" && o.sentinel == "" && o.cluster == "" {
		return cfg, func() {}, nil
	}
	client, err := redisClient(o)
	if err != nil {
		return cfg, nil, err
	}
	rcfg := redis.Config{Logger: slog.Default(), SubscriptionMode: redis.SubscriptionMode(o.mode)}
	switch o.adapter {
	case "classic":
		cfg.Adapter = redis.NewAdapter(client, rcfg)
	case "sharded":
		cfg.Adapter = redis.NewShardedAdapter(client, rcfg)
	case "streams":
		cfg.Adapter = redis.NewStreamsAdapter(client, redis.StreamsConfig{Config: redis.Config{Logger: slog.Default()}})
	default:
		err = fmt.Errorf("unknown adapter %q", o.adapter)
	}
	return cfg, func() { _ = client.Close() }, err
}

// redisClient makes the client for the Redis that the options name.
func redisClient(o options) (goredis.UniversalClient, error) {
	if o.cluster != "" {
		return goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: strings.Split(o.cluster, ",")}), nil
	}
	if o.sentinel != "" {
		name, address, _ := strings.Cut(o.sentinel, "@")
		return goredis.NewFailoverClient(&goredis.FailoverOptions{MasterName: name, SentinelAddrs: []string{address}}), nil
	}
	address, err := goredis.ParseURL(o.redis)
	if err != nil {
		return nil, err
	}
	return goredis.NewClient(address), nil
}

// routes adds the readiness that HAProxy asks for.
func routes(srv *node.Server, drainStatus int) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", srv)
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), time.Second)
		defer cancel()
		switch err := srv.Ready(ctx); {
		case errors.Is(err, node.ErrDraining):
			http.Error(w, err.Error(), drainStatus)
		case err != nil:
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	return mux
}

func announce(nodeID, url string) error {
	return json.NewEncoder(os.Stdout).Encode(map[string]string{"event": "listening", "node": nodeID, "url": url})
}
