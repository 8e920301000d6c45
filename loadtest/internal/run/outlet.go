package run

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/adapter/redis"
	"github.com/fanwire/fanwire/loadtest/internal/fleet"
)

// outlet is a way to publish.
type outlet interface {
	of(p *publisher, s *fleet.Session) publisherOutlet
	close()
}

// publisherOutlet is one publisher's. An error of send says that nobody knows whether
// the message is on its way.
type publisherOutlet interface {
	ready() bool
	send(seq uint32, v any) error
}

func (r *runner) newOutlet() (outlet, error) {
	switch r.plan.Publish {
	case "http":
		return newBackend(r, newHTTPSender(r)), nil
	case "redis":
		send, stop, err := newRedisSender(r)
		if err != nil {
			return nil, fmt.Errorf("publishURL: %w", err)
		}
		b := newBackend(r, send)
		b.stop = stop
		return b, nil
	}
	return sockets{}, nil
}

type sockets struct{}

func (sockets) of(p *publisher, s *fleet.Session) publisherOutlet {
	return &socketOutlet{session: s, room: p.stream.Room().Name()}
}

func (sockets) close() {}

// backend publishes past the sockets, as a backend does. Some workers do it, so that one
// slow answer does not delay everybody; each publisher has one worker, which keeps its
// order.
type backend struct {
	runner *runner
	send   sender
	stop   func()
	queues []chan job
	wg     sync.WaitGroup
}

// sender publishes one message, to a room or to everybody, and waits for the answer.
type sender func(ctx context.Context, room string, v any) error

type job struct {
	p   *publisher
	seq uint32
	v   any
}

const (
	backendWorkers = 16
	backendQueue   = 256 // messages that wait for a worker
)

func newBackend(r *runner, send sender) *backend {
	b := &backend{runner: r, send: send, queues: make([]chan job, backendWorkers)}
	for i := range b.queues {
		b.queues[i] = make(chan job, backendQueue)
		b.wg.Go(func() { b.work(b.queues[i]) })
	}
	return b
}

func (b *backend) work(queue chan job) {
	for j := range queue {
		ctx, cancel := context.WithTimeout(context.Background(), b.runner.plan.Timeout.D())
		if err := b.send(ctx, j.p.stream.Room().Name(), j.v); err != nil {
			j.p.stream.Uncertain(j.seq)
			b.runner.fleet.Count("publish: " + err.Error())
		}
		cancel()
	}
}

func (b *backend) of(p *publisher, _ *fleet.Session) publisherOutlet {
	return &backendOutlet{p: p, queue: b.queues[p.number%len(b.queues)]}
}

func (b *backend) close() {
	for _, q := range b.queues {
		close(q)
	}
	b.wg.Wait()
	if b.stop != nil {
		b.stop()
	}
}

type backendOutlet struct {
	p     *publisher
	queue chan job
}

// ready tells whether a message can be queued. Only the schedule queues any.
func (o *backendOutlet) ready() bool { return len(o.queue) < cap(o.queue) }

func (o *backendOutlet) send(seq uint32, v any) error {
	o.queue <- job{o.p, seq, v}
	return nil
}

// newHTTPSender uses the HTTP API of the gateway.
func newHTTPSender(r *runner) sender {
	address := strings.TrimRight(r.plan.PublishURL, "/") + "/v1/emit"
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = backendWorkers
	hc := &http.Client{Transport: transport}
	return func(ctx context.Context, room string, v any) error {
		if b, ok := v.([]byte); ok {
			v = map[string][]byte{"$binary": b} // encoding/json makes it base64
		}
		m := map[string]any{"namespace": r.plan.Namespace, "event": "msg", "args": []any{v}}
		if room == everybody {
			m["all"] = true
		} else {
			m["to"] = []string{room}
		}
		body, err := json.Marshal(m)
		if err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
		if err != nil {
			return errors.New("the address of the API is not valid")
		}
		req.Header.Set("Content-Type", "application/json")
		if r.plan.PublishKey != "" {
			req.Header.Set("Authorization", "Bearer "+r.plan.PublishKey)
		}
		res, err := hc.Do(req)
		if err != nil {
			var u *url.Error
			if errors.As(err, &u) {
				err = u.Err
			}
			return err
		}
		defer res.Body.Close()
		answer, _ := io.ReadAll(io.LimitReader(res.Body, 200))
		if res.StatusCode/100 != 2 {
			return fmt.Errorf("status %d: %s", res.StatusCode, answer)
		}
		return nil
	}
}

// newRedisSender uses an emitter. The wire of the nodes is in the URL's query:
// redis://127.0.0.1:6379?wire=sharded.
func newRedisSender(r *runner) (sender, func(), error) {
	u, err := url.Parse(r.plan.PublishURL)
	if err != nil {
		return nil, nil, errors.New("is not an URL")
	}
	q := u.Query()
	wire := q.Get("wire")
	q.Del("wire")
	u.RawQuery = q.Encode()
	var cfg redis.EmitterConfig
	switch wire {
	case "", "classic":
	case "sharded":
		cfg.Wire = redis.WireSharded
	case "streams":
		cfg.Wire = redis.WireStreams
	default:
		return nil, nil, fmt.Errorf("wire %q is none of classic, sharded, streams", wire)
	}
	opts, err := goredis.ParseURL(u.String())
	if err != nil {
		return nil, nil, err
	}
	rdb := goredis.NewClient(opts)
	e, err := redis.NewEmitter(rdb, cfg)
	if err != nil {
		rdb.Close()
		return nil, nil, err
	}
	e = e.Of(r.plan.Namespace)
	return func(ctx context.Context, room string, v any) error {
		if room == everybody {
			return e.Emit(ctx, "msg", v)
		}
		return e.To(room).Emit(ctx, "msg", v)
	}, func() { rdb.Close() }, nil
}
