// Fanwire is the server under test of e2e/bench: package node with the events
// that the driver sends, and nothing else.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/adapter/redis"
	"github.com/fanwire/fanwire/e2e/bench/servers/control"
	"github.com/fanwire/fanwire/internal/listener"
	"github.com/fanwire/fanwire/node"
)

func main() {
	var o options
	flag.IntVar(&o.port, "port", 0, "port on the loopback interface")
	flag.StringVar(&o.redis, "redis", "", "be a node of the cluster on this Redis")
	flag.StringVar(&o.adapter, "adapter", "classic", "classic, sharded or streams")
	flag.BoolVar(&o.recovery, "recovery", false, "turn connection state recovery on")
	flag.BoolVar(&o.typed, "typed", false, "bind the argument of echo to a Go string instead of passing it through")
	flag.BoolVar(&o.profiles, "pprof", false, "write profiles when the driver asks for them")
	flag.Parse()
	if err := run(o); err != nil {
		log.Fatal(err)
	}
}

type options struct {
	port                      int
	redis, adapter            string
	recovery, typed, profiles bool
}

func run(o options) error {
	var cfg node.Config
	var measure adapter.Measurer
	if o.redis != "" {
		f, err := o.factory()
		if err != nil {
			return err
		}
		cfg.Adapter = watched(f, &measure)
	}
	if o.recovery {
		cfg.Recovery = &node.Recovery{}
	}
	srv, err := node.New(cfg)
	if err != nil {
		return err
	}
	register(srv, o.typed)
	l, err := control.Listen(o.port)
	if err != nil {
		return err
	}
	if err := ready(srv); err != nil {
		return err
	}
	server, err := listener.New(listener.Config{Handler: srv, MaxConns: 1 << 16})
	if err != nil {
		return err
	}
	server.StartOn(l.(*net.TCPListener)) // ends with the process
	return control.Serve(l, o.profiles, func() any { return stats(srv, measure) })
}

// streamLength is ten times the default, as in official.mjs: at the rates of a
// benchmark the default is less than half a second, and a node that falls behind by
// more loses messages on either server.
const streamLength = 100_000

// factory makes the adapter.
func (o options) factory() (adapter.Factory, error) {
	address, err := goredis.ParseURL(o.redis)
	if err != nil {
		return nil, err
	}
	client := goredis.NewClient(address)
	switch o.adapter {
	case "classic":
		return redis.NewAdapter(client, redis.Config{}), nil
	case "sharded":
		return redis.NewShardedAdapter(client, redis.Config{}), nil
	case "streams":
		return redis.NewStreamsAdapter(client, redis.StreamsConfig{MaxLen: streamLength}), nil
	}
	return nil, fmt.Errorf("no adapter %q", o.adapter)
}

// register has the events of the official server beside it.
func register(srv *node.Server, typed bool) {
	if typed {
		node.Handle(srv, "echo", func(_ context.Context, _ *node.Socket, text string) (string, error) {
			return text, nil
		})
	} else {
		node.Handle(srv, "echo", func(_ context.Context, _ *node.Socket, args node.Args) (node.Args, error) {
			return args, nil
		})
	}
	node.Handle(srv, "join", func(ctx context.Context, s *node.Socket, room string) (node.None, error) {
		return node.None{}, s.Join(ctx, room)
	})
	node.On(srv, "say", func(ctx context.Context, s *node.Socket, in node.Tuple2[string, json.RawMessage]) error {
		return s.Namespace().To(in.A).Emit(ctx, "msg", in.B)
	})
	node.On(srv, "all", func(ctx context.Context, s *node.Socket, payload json.RawMessage) error {
		return s.Namespace().Emit(ctx, "msg", payload)
	})
}

// ready waits until the node hears the others.
func ready(srv *node.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for {
		err := srv.Ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// watched makes the counters of the adapter of "/" available.
func watched(f adapter.Factory, m *adapter.Measurer) adapter.Factory {
	return func(h adapter.Host) (adapter.Adapter, error) {
		a, err := f(h)
		if h.Namespace() == "/" {
			*m, _ = a.(adapter.Measurer)
		}
		return a, err
	}
}

func stats(srv *node.Server, m adapter.Measurer) map[string]any {
	all := map[string]any{"node": srv.Stats()}
	if m != nil {
		s := m.Stats()
		all["received"] = s.Received
		all["adapter"] = s
	}
	return all
}
