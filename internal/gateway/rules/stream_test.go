package rules

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/internal/gateway/config"
	"github.com/fanwire/fanwire/internal/gateway/identity"
	"github.com/fanwire/fanwire/node"
)

func streamRoute(event, key string, maxLen int) config.Route {
	return config.Route{Events: []string{event}, Stream: &config.Stream{Key: key, MaxLen: maxLen}}
}

// entries returns what is in a stream.
func entries(t *testing.T, server *miniredis.Miniredis, key string) []goredis.XMessage {
	t.Helper()
	list, err := redisClient(t, server.Addr()).XRange(t.Context(), key, "-", "+").Result()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// An event becomes one entry, whose id is the ack once Redis has it.
func TestStream(t *testing.T) {
	s := one(config.Namespace{Name: "/t/{id}", Auth: []string{"jwt"}, Routes: []config.Route{streamRoute("*", "events:{path.id}", 10)}})
	list, server := cluster(t, 1, s, Options{Verifier: verifier{"ann": {Client: identity.Client{User: "ann"}}}})
	g := list[0]
	p := g.enter(t, "/t/7", tokenOf("ann"))
	before := time.Now().Add(-time.Second)
	ack := p.ask("order", map[string]any{"n": 1, "f": []byte{1, 2}}, "ü")
	all := entries(t, server, "events:7")
	if len(all) != 1 || ack != `{"ok":true,"id":"`+all[0].ID+`"}` {
		t.Fatalf("%s %v", ack, all)
	}
	e := all[0].Values
	at, err := time.Parse(time.RFC3339, fmt.Sprint(e["time"]))
	if err != nil || at.Before(before) || time.Since(at) > time.Minute {
		t.Error(e["time"], err)
	}
	if id := fmt.Sprint(e["id"]); !strings.HasPrefix(id, "evt_") || len(id) != 26 {
		t.Error(id)
	}
	delete(e, "time")
	delete(e, "id")
	want := map[string]any{
		"type": "event", "node": g.srv.NodeID(), "namespace": "/t/7", "socket": p.ID(), "user": "ann", "event": "order",
		"args": `[{"f":{"$binary":"AQI="},"n":1},"ü"]`,
	}
	if fmt.Sprint(e) != fmt.Sprint(want) {
		t.Errorf("%v\nwant %v", e, want)
	}
	for i := range 500 {
		p.emit("n", i)
	}
	eventually(t, "all", func() bool { return g.Stats().Streamed == 501 && g.Stats().StreamsWaiting == 0 })
	all = entries(t, server, "events:7")
	if n := len(all); n < 10 || n > 500 {
		t.Errorf("%d entries: not trimmed", n)
	}
	for i, e := range all {
		if want := fmt.Sprintf("[%d]", 500-len(all)+i); e.Values["args"] != want {
			t.Fatalf("entry %d is %v, want %s", i, e.Values["args"], want)
		}
	}
}

// Without Redis the client is told so at once, everything else goes on, and when
// Redis is there again so are its streams.
func TestStreamWithoutRedis(t *testing.T) {
	server := miniredis.RunT(t)
	g := start(t, routes(streamRoute("s", "events", 0), relayTo("say", config.Relay{})), Options{Redis: redisClient(t, server.Addr())}, node.Config{})
	a, b := g.enter(t, "/", nil), g.enter(t, "/", nil)
	if got := a.ask("s", 1); !strings.HasPrefix(got, `{"ok":true`) {
		t.Fatal(got)
	}
	addr := server.Addr()
	server.Close()
	start := time.Now()
	for range 100 {
		a.code(Unavailable, "s", 2)
	}
	a.emit("s", 2)
	a.answers(`{"ok":true}`, "say", 1)
	b.hears(`["say",1]`)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	if err := server.StartAddr(addr); err != nil {
		t.Fatal(err)
	}
	eventually(t, "there again", func() bool { return strings.HasPrefix(a.ask("s", 3), `{"ok":true`) })
	all := entries(t, server, "events")
	if all[0].Values["args"] != "[1]" || all[len(all)-1].Values["args"] != "[3]" {
		t.Error(all)
	}
	if st := g.Stats(); st.Refused[Unavailable] < 101 {
		t.Errorf("%+v", st)
	}
}

// A key that holds something else is an error of its events alone.
func TestStreamWrongType(t *testing.T) {
	server := miniredis.RunT(t)
	if err := server.Set("events:bad", "x"); err != nil {
		t.Fatal(err)
	}
	g := start(t, routes(streamRoute("bad", "events:bad", 5), streamRoute("good", "events:good", 5)), Options{Redis: redisClient(t, server.Addr())}, node.Config{})
	p := g.enter(t, "/", nil)
	for i := range 5 {
		p.emit("good", i)
		p.code(Unavailable, "bad", i)
	}
	if got := p.ask("good", 5); !strings.HasPrefix(got, `{"ok":true`) {
		t.Error(got)
	}
	if n := len(entries(t, server, "events:good")); n < 5 {
		t.Errorf("%d entries", n)
	}
}

// Routes to streams on a node that was given no Redis.
func TestStreamNoRedis(t *testing.T) {
	g := start(t, routes(streamRoute("s", "events", 0)), Options{}, node.Config{})
	g.enter(t, "/", nil).code(Unavailable, "s")
}
