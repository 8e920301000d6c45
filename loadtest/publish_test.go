package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/adapter/redis"
	"github.com/fanwire/fanwire/adapter/redis/redistest"
	"github.com/fanwire/fanwire/loadtest/internal/plan"
	"github.com/fanwire/fanwire/node"
)

// By the HTTP API, which here refuses now and then: nobody knows then whether the
// message has gone out, so it is excused, and not lost.
func TestPublishHTTP(t *testing.T) {
	s := start(t, node.Config{})
	n := 0
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Namespace, Event string
			All              bool
			To               []string
			Args             []any
		}
		if r.URL.Path != "/v1/emit" || r.Header.Get("Authorization") != "Bearer hush" || json.NewDecoder(r.Body).Decode(&body) != nil || body.All == (len(body.To) > 0) {
			t.Errorf("%s with %v", r.URL, r.Header)
		}
		if n++; n%10 == 0 {
			http.Error(w, "not now", http.StatusServiceUnavailable)
			return
		}
		if err := s.node.Of(body.Namespace).To(body.To...).Emit(r.Context(), body.Event, body.Args...); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(api.Close)
	d := measure(t, with(s.url, "fanout", "--clients=4", "--rooms=1", "--rate=50/s", "--publish=http", "--publish-url="+api.URL, "--publish-key=hush")...)
	n = 0
	all := measure(t, with(s.url, "fanout", "--clients=4", "--rooms=0", "--rate=50/s", "--publish=http", "--publish-url="+api.URL, "--publish-key=hush")...)
	if m := all.Messages; m.Sent < 40 || m.Lost != 0 || m.Unexpected != 0 || m.Excused != 4*(m.Sent/10) || m.Delivered != 4*m.Sent-m.Excused {
		t.Errorf("to everybody: %+v", m)
	}
	m := d.Messages
	if m.Sent < 40 || m.Lost != 0 || m.Unexpected != 0 || m.Excused != 4*(m.Sent/10) || m.Delivered != 4*m.Sent-m.Excused {
		t.Errorf("%+v", m)
	}
	if strings.Contains(strings.Join(d.CommandLine, " "), "hush") {
		t.Error("the key is in the command line")
	}
}

func TestPublishRedis(t *testing.T) {
	server := miniredis.RunT(t)
	publishRedis(t, classic, server.Addr(), "")
}

// miniredis has no sharded channels.
func TestPublishRedisWires(t *testing.T) {
	server := redistest.Start(t)
	for wire, adapter := range map[string]wireOf{
		"classic": classic,
		"sharded": func(c goredis.UniversalClient) adapter.Factory { return redis.NewShardedAdapter(c, redis.Config{}) },
		"streams": func(c goredis.UniversalClient) adapter.Factory {
			return redis.NewStreamsAdapter(c, redis.StreamsConfig{})
		},
	} {
		t.Run(wire, func(t *testing.T) { publishRedis(t, adapter, server.Addr, "?wire="+wire) })
	}
}

type wireOf func(goredis.UniversalClient) adapter.Factory

func classic(c goredis.UniversalClient) adapter.Factory { return redis.NewAdapter(c, redis.Config{}) }

func publishRedis(t *testing.T, wire wireOf, addr, query string) {
	rdb := goredis.NewClient(&goredis.Options{Addr: addr})
	t.Cleanup(func() { _ = rdb.Close() })
	s := start(t, node.Config{Adapter: wire(rdb)})
	if err := s.node.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	for rooms, receivers := range map[string]int64{"2": 3, "0": 6} { // 0: to everybody
		m := measure(t, with(s.url, "fanout", "--clients=6", "--rooms="+rooms, "--rate=50/s", "--binary=50%", "--publish=redis", "--publish-url=redis://"+addr+query)...).Messages
		if m.Sent < 40 || m.Lost != 0 || m.Unexpected != 0 || m.Delivered != receivers*m.Sent {
			t.Errorf("%s rooms: %+v", rooms, m)
		}
	}
}

// The scenario on the page can be run.
func TestDocsScenario(t *testing.T) {
	text, err := os.ReadFile("../docs/loadtest.md")
	if err != nil {
		t.Fatal(err)
	}
	_, file, _ := strings.Cut(string(text), "```yaml\n")
	file, _, _ = strings.Cut(file, "```")
	p, err := plan.Parse([]byte(file), plan.Default())
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Stages) != 3 || p.Peak() != 10_000 || len(p.URLs) != 2 {
		t.Errorf("%+v", p)
	}
}
