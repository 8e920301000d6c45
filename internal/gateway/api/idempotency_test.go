package api

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fanwire/fanwire/client"
	"github.com/fanwire/fanwire/internal/gateway/command"
	"github.com/fanwire/fanwire/node"
)

func idem(key string) string { return "Idempotency-Key: " + key }

// A second request with the same key is not run, on whichever node, and gets the
// same answer.
func TestIdempotency(t *testing.T) {
	c := newCluster(t, 2)
	one, two := c.nodes[0], c.nodes[1]
	guest := one.connect(t, "/", nil, func(s *client.Socket) {
		client.Handle(s, "ask", func(context.Context, client.None) (int, error) { return 7, nil })
	})
	body := `{"all":true,"event":"once","args":[1]}`
	one.send(t, "POST", "/v1/emit", body, 204, idem("k1"))
	for _, g := range []*gateway{one, two, two} {
		if a := g.send(t, "POST", "/v1/emit", body, 204, idem("k1")); a.Header.Get("Idempotency-Replayed") != "true" {
			t.Error(a.Header)
		}
	}
	two.send(t, "POST", "/v1/emit", `{"all":true,"event":"end"}`, 204, idem("k2"))
	guest.hears(t, "once [1]", "end []")

	first := one.send(t, "POST", "/v1/emit", `{"all":true,"event":"ask","ack":true}`, 200, idem("k3"))
	again := two.send(t, "POST", "/v1/emit", `{"all":true,"event":"ask","ack":true}`, 200, idem("k3"))
	if first.text != again.text || first.Header.Get("Content-Type") != again.Header.Get("Content-Type") {
		t.Errorf("first %s, again %s", first.text, again.text)
	}
	guest.hears(t, "ask []")
	for _, other := range []string{body + " ", `{"all":true,"event":"other"}`} {
		if a := two.send(t, "POST", "/v1/emit", other, 422, idem("k1")); !strings.Contains(a.text, "idempotency_mismatch") {
			t.Error(a.text)
		}
	}
	two.send(t, "POST", "/v1/server-emit", body, 422, idem("k1"))
	// What is wrong is remembered too; another holder has keys of its own.
	one.send(t, "POST", "/v1/emit", `{"event":7}`, 400, idem("k4"))
	if a := two.send(t, "POST", "/v1/emit", `{"event":7}`, 400, idem("k4")); a.Header.Get("Idempotency-Replayed") != "true" {
		t.Error("a wrong request is run again")
	}
	if a := two.do(t, publishKey, "POST", "/v1/emit", `{"all":true,"event":"mine"}`, idem("k1")); a.StatusCode != 204 || a.Header.Get("Idempotency-Replayed") != "" {
		t.Error(a.Status, a.text)
	}
	guest.hears(t, "mine []")
	if s := two.api.Stats(); s.Replayed != 4 {
		t.Errorf("%d replayed", s.Replayed)
	}
	// After the window it is a new request.
	c.redis.FastForward(time.Minute)
	one.send(t, "POST", "/v1/emit", body, 204, idem("k1"))
	guest.hears(t, "once [1]")
	for _, key := range c.redis.Keys() {
		if strings.HasPrefix(key, idempotencyPrefix) && c.redis.TTL(key) <= 0 {
			t.Errorf("%s stays for ever", key)
		}
	}
	for _, bad := range []string{strings.Repeat("k", 256), "a b", "ä"} {
		one.send(t, "POST", "/v1/emit", body, 400, idem(bad))
	}
}

// slowRunner runs commands that end when the test says so.
type slowRunner struct {
	entered chan struct{}
	ends    map[string]chan error // by event
}

func newSlowRunner(events ...string) *slowRunner {
	s := &slowRunner{make(chan struct{}, 10), map[string]chan error{}}
	for _, e := range events {
		s.ends[e] = make(chan error, 10)
	}
	return s
}

func (s *slowRunner) Run(_ context.Context, c command.Command, _ *node.Socket) error {
	s.entered <- struct{}{}
	return <-s.ends[c.Event]
}

// While the first request is under way others are refused; one that fails may be
// tried again.
func TestIdempotencyUnderWay(t *testing.T) {
	c := newCluster(t, 2)
	slow := newSlowRunner("e")
	c.nodes[0].api.opts.Runner, c.nodes[1].api.opts.Runner = slow, slow
	body := `{"all":true,"event":"e"}`
	var wg sync.WaitGroup
	defer wg.Wait()
	emit := func(want int) {
		wg.Go(func() { c.nodes[0].send(t, "POST", "/v1/emit", body, want, idem("k")) })
		<-slow.entered
	}
	emit(500)
	if a := c.nodes[1].send(t, "POST", "/v1/emit", body, 409, idem("k")); a.Header.Get("Retry-After") != "1" {
		t.Error(a.Header)
	}
	slow.ends["e"] <- fmt.Errorf("internal detail")
	wg.Wait()
	if log := c.nodes[0].log.String(); !strings.Contains(log, "internal detail") {
		t.Error(log)
	}
	emit(204)
	slow.ends["e"] <- nil
	wg.Wait()
	c.nodes[1].send(t, "POST", "/v1/emit", body, 204, idem("k"))
	if len(slow.entered) != 0 {
		t.Error("it has run again")
	}
}

// A client that does not wait for the answer does not end the request: that is when
// it tries again.
func TestIdempotencyOfImpatientClient(t *testing.T) {
	c := newCluster(t, 2)
	slow := newSlowRunner("e")
	c.nodes[0].api.opts.Runner, c.nodes[1].api.opts.Runner = slow, slow
	var ended error
	c.nodes[0].api.opts.Runner = runnerFunc(func(ctx context.Context, cmd command.Command) error {
		err := slow.Run(ctx, cmd, nil)
		ended = ctx.Err()
		return err
	})
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan struct{})
	w := httptest.NewRecorder()
	req := benchRequest("", "/v1/emit", `{"all":true,"event":"e"}`).WithContext(ctx)
	req.Header.Set(idempotencyHeader, "k")
	go func() {
		defer close(gone)
		c.nodes[0].api.ServeHTTP(w, req)
	}()
	<-slow.entered
	cancel()
	c.nodes[1].send(t, "POST", "/v1/emit", `{"all":true,"event":"e"}`, 409, idem("k"))
	slow.ends["e"] <- nil
	<-gone
	if ended != nil {
		t.Error(ended)
	}
	c.nodes[1].send(t, "POST", "/v1/emit", `{"all":true,"event":"e"}`, 204, idem("k"))
	if n := len(slow.entered); n != 0 {
		t.Errorf("%d more have run", n)
	}
}

type runnerFunc func(ctx context.Context, c command.Command) error

func (f runnerFunc) Run(ctx context.Context, c command.Command, _ *node.Socket) error {
	return f(ctx, c)
}

// The mark of a node that died goes by itself, and a request that was slower than
// its mark does not overwrite the answer of another.
func TestIdempotencyAfterCrash(t *testing.T) {
	c := newCluster(t, 1)
	slow, g := newSlowRunner("e", "other"), c.nodes[0]
	g.api.opts.Runner = slow
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { g.send(t, "POST", "/v1/emit", `{"all":true,"event":"e"}`, 204, idem("k")) })
	<-slow.entered
	c.redis.FastForward(maxWait + 5*time.Second + crashMargin)
	slow.ends["other"] <- command.ErrNoNamespace
	g.send(t, "POST", "/v1/emit", `{"all":true,"event":"other"}`, 404, idem("k"))
	slow.ends["e"] <- nil
	wg.Wait()
	g.send(t, "POST", "/v1/emit", `{"all":true,"event":"other"}`, 404, idem("k"))
	g.send(t, "POST", "/v1/emit", `{"all":true,"event":"e"}`, 422, idem("k"))
	if n := len(slow.entered); n != 1 {
		t.Errorf("%d more have run, want 1", n)
	}
}

// Without Redis requests with a key are refused, and the others are not.
func TestIdempotencyWithoutRedis(t *testing.T) {
	c := newCluster(t, 1)
	g := c.nodes[0]
	guest := g.connect(t, "/", nil)
	c.redis.SetError("LOADING no")
	a := g.do(t, allKey, "POST", "/v1/emit", `{"all":true,"event":"a"}`, idem("k"))
	if a.StatusCode != http.StatusServiceUnavailable || !strings.Contains(a.text, "idempotency_unavailable") || a.Header.Get("Retry-After") == "" {
		t.Error(a.Status, a.text)
	}
	c.redis.SetError("")
	g.send(t, "POST", "/v1/emit", `{"all":true,"event":"b"}`, 204)
	guest.hears(t, "b []")
	g.send(t, "POST", "/v1/emit", `{"all":true,"event":"a"}`, 204, idem("k"))
	guest.hears(t, "a []")
}
