package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/adapter/redis"
	"github.com/fanwire/fanwire/adapter/redis/redistest"
	"github.com/fanwire/fanwire/client"
	"github.com/fanwire/fanwire/internal/gateway/config"
)

// aclRights are the rights that docs/operations.md lists, by what they are for.
func aclRights(t *testing.T) map[string][]string {
	t.Helper()
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(page), "```acl\n")
	block, _, _ = strings.Cut(block, "```")
	rights, name := map[string][]string{}, ""
	for line := range strings.Lines(block) {
		if head, ok := strings.CutPrefix(line, "# "); ok {
			name, _, _ = strings.Cut(strings.TrimSpace(head), ":")
			continue
		}
		rights[name] = append(rights[name], strings.Fields(line)...)
	}
	if len(rights) < 6 {
		t.Fatalf("docs/operations.md has the rights %v", rights)
	}
	return rights
}

// allow makes a user of Redis with the rights of these names and no others.
func allow(t *testing.T, admin *goredis.Client, user string, rights map[string][]string, names ...string) (rules []string) {
	t.Helper()
	for _, name := range names {
		if rights[name] == nil {
			t.Fatalf("docs/operations.md lists no rights for %q", name)
		}
		rules = append(rules, rights[name]...)
	}
	args := []any{"ACL", "SETUSER", user, "reset", "on", ">secret"}
	for _, r := range rules {
		args = append(args, r)
	}
	if err := admin.Do(t.Context(), args...).Err(); err != nil {
		t.Fatal(err)
	}
	return rules
}

// A gateway works with the rights that docs/operations.md lists, is refused nothing,
// and uses each command among them.
func TestRedisACL(t *testing.T) {
	rights := aclRights(t)
	for _, adapter := range []string{"classic", "sharded", "streams"} {
		for _, recovery := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, recovery %v", adapter, recovery), func(t *testing.T) {
				names := []string{"every node", "HTTP API", "streams of routes", adapter}
				if recovery {
					names = append(names, "recovery, "+adapter)
				}
				s := redistest.Start(t)
				admin := s.Client(t)
				rules := allow(t, admin, "fanwire", rights, names...)
				if recovery { // not all of these are used here: see TestSessionsACL of package redis
					allow(t, admin, "fanwire", rights, append(names, "recovery, all")...)
				}
				useAll(t, withRedis(s.Addr, "fanwire", adapter, recovery), recovery)
				checkACL(t, admin, rules)
			})
		}
	}
}

// Emitters have fewer rights.
func TestRedisACLOfEmitters(t *testing.T) {
	rights := aclRights(t)
	for adapter, wire := range map[string]redis.Wire{"classic": redis.WireClassic, "sharded": redis.WireSharded, "streams": redis.WireStreams} {
		for _, recovery := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, recovery %v", adapter, recovery), func(t *testing.T) {
				s := redistest.Start(t)
				admin := s.Client(t)
				names := []string{"emitter, " + adapter}
				if recovery && adapter != "streams" {
					names = append(names, "emitter, recovery, "+adapter)
				}
				rules := allow(t, admin, "emitter", rights, names...)
				g := start(t, testConfig(withRules, withRedis(s.Addr, "", adapter, recovery)))
				heard := make(chan string, 10)
				g.dial("/", client.Options{}, hears("say", heard))
				if recovery { // the journal is there as soon as there is an event in it
					if status, body := g.post("/v1/emit", `{"all":true,"event":"say","args":["first"]}`); status >= 300 {
						t.Fatal(status, body)
					}
					next(t, heard)
				}
				rdb := goredis.NewClient(&goredis.Options{Addr: s.Addr, Username: "emitter", Password: "secret"})
				t.Cleanup(func() { _ = rdb.Close() })
				e, err := redis.NewEmitter(rdb, redis.EmitterConfig{Wire: wire})
				if err != nil {
					t.Fatal(err)
				}
				if err := e.Emit(t.Context(), "say", "emitted"); err != nil {
					t.Error(err)
				}
				if got := next(t, heard); got != "emitted" {
					t.Error(got)
				}
				checkACL(t, admin, rules)
			})
		}
	}
}

// checkACL tells of what was refused, and of commands that are allowed and were not
// used by anybody.
func checkACL(t *testing.T, admin *goredis.Client, rules []string) {
	t.Helper()
	for _, rule := range rules {
		command, ok := strings.CutPrefix(rule, "+")
		if !ok || command == "del" { // DEL: for a key of a command that ends with a 5xx
			continue
		}
		eventually(t, command+" is used, as it is allowed", func() bool { // some are sent beside what was waited for
			used, err := admin.Info(t.Context(), "commandstats").Result()
			if err != nil {
				t.Fatal(err)
			}
			return strings.Contains(used, "cmdstat_"+command+":")
		})
	}
	log, err := admin.Do(t.Context(), "ACL", "LOG").Slice()
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range log {
		t.Errorf("refused: %v", entry)
	}
}

// withRedis uses all that a gateway does with Redis. user may be empty.
func withRedis(addr, user, adapter string, recovery bool) func(*config.Config) {
	return func(c *config.Config) {
		c.Redis.Addresses, c.Redis.Adapter, c.Redis.Username = []string{addr}, adapter, user
		if user != "" {
			c.Redis.Password = config.NewSecret("secret")
		}
		if recovery {
			c.SocketIO.Recovery = time.Minute
		}
		c.Namespaces[0].Routes = append(c.Namespaces[0].Routes, config.Route{
			Events: []string{"log"}, Stream: &config.Stream{Key: "chat:log", MaxLen: 100},
		})
		c.Namespaces = append(c.Namespaces, config.Namespace{Name: "/tenant/{id}", Auth: []string{"anonymous"}})
	}
}

// useAll has two gateways do all that goes through Redis.
func useAll(t *testing.T, with func(*config.Config), recovery bool) {
	t.Helper()
	a, b := start(t, testConfig(withRules, with)), start(t, testConfig(withRules, with))
	eventually(t, "two nodes", func() bool { return len(a.node.Nodes()) == 2 && len(b.node.Nodes()) == 2 })
	heard := make(chan string, 10)
	s := a.dial("/", client.Options{}, hears("say", heard), hears("nobody answers", heard))
	other := b.dial("/", client.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	for _, call := range []struct {
		s     *client.Socket
		event string
		arg   string
	}{{other, "say", "relayed"}, {s, "join", "public-room"}, {s, "log", "kept"}} {
		if _, err := client.Call[any](ctx, call.s, call.event, call.arg); err != nil {
			t.Errorf("%s: %v", call.event, err)
		}
	}
	if got := next(t, heard); got != "relayed" {
		t.Error(got)
	}
	room := `{"to":["public-room"],"event":"say","args":["to a room"]}`
	b.must("/v1/emit", room, "")
	b.must("/v1/emit", `{"to":["`+s.ID()+`"],"event":"say","args":["to one"]}`, "")
	b.must("/v1/emit", strings.Replace(room, "to a room", "once", 1), "key-1")
	tenant := b.dial("/tenant/1", client.Options{})
	got := []string{next(t, heard), next(t, heard), next(t, heard)}
	slices.Sort(got) // two rooms have no common order on the sharded wire of a Redis Cluster
	if !slices.Equal(got, []string{"once", "to a room", "to one"}) {
		t.Errorf("heard %q", got)
	}
	a.must("/v1/emit", strings.Replace(room, "to a room", "once", 1), "key-1") // is answered as before
	b.must("/v1/emit", `{"all":true,"event":"nobody answers","args":["asked"],"ack":true,"timeout":50}`, "")
	if got := next(t, heard); got != "asked" { // later it would come to who polls below
		t.Error(got)
	}
	b.must("/v1/server-emit", `{"event":"hello"}`, "")
	b.must("/v1/revocations", `{"all":true,"issuedBefore":"2026-01-01T00:00:00Z"}`, "")
	b.must("/v1/revocations", `{"all":true,"issuedBefore":"2026-01-02T00:00:00Z"}`, "") // takes its place
	other.Close()
	tenant.Close() // its namespace ends, and is unsubscribed
	pollBoth(t, a, b, recovery)
}

// must asks the HTTP API.
func (g *testGateway) must(path, body, idempotency string) {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), http.MethodPost, g.url(adminRole)+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+testKey)
	req.Header.Set("Content-Type", "application/json")
	if idempotency != "" {
		req.Header.Set("Idempotency-Key", idempotency)
	}
	if status, answer := do(g.t, req); status >= 300 {
		g.t.Errorf("%s %s: %d %s", path, body, status, answer)
	}
}

func do(t testing.TB, req *http.Request) (status int, body string) {
	t.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	return res.StatusCode, string(text)
}

// pollBoth polls one node for a session of the other, and then continues it there.
func pollBoth(t *testing.T, a, b *testGateway, recovery bool) {
	query := func(g *testGateway, sid string) string {
		return g.url(clientsRole) + "/socket.io/?EIO=4&transport=polling&sid=" + sid
	}
	post := func(url, body string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if status, answer := do(t, req); status != 200 {
			t.Fatalf("%s: %d %s", body, status, answer)
		}
	}
	opened := func(g *testGateway) string {
		t.Helper()
		_, body := get(t, g.url(clientsRole)+"/socket.io/?EIO=4&transport=polling")
		var o struct{ SID string }
		if err := json.Unmarshal([]byte(body[1:]), &o); err != nil {
			t.Fatal(body, err)
		}
		return o.SID
	}
	sid := opened(a)
	post(query(b, sid), "40") // b hands it on
	_, body := get(t, query(b, sid))
	var joined struct{ SID, PID string }
	if err := json.Unmarshal([]byte(strings.TrimPrefix(body, "40")), &joined); err != nil {
		t.Fatal(body, err)
	}
	if !recovery {
		return
	}
	b.must("/v1/emit", `{"all":true,"event":"say","args":["seen"]}`, "")
	_, body = get(t, query(a, sid))
	offset := regexp.MustCompile(`"([^"]+)"\]$`).FindStringSubmatch(body)
	if offset == nil {
		t.Fatal(body)
	}
	post(query(a, sid), "1")
	b.must("/v1/emit", `{"all":true,"event":"say","args":["missed"]}`, "")
	sid = opened(b)
	post(query(b, sid), `40{"pid":"`+joined.PID+`","offset":"`+offset[1]+`"}`)
	recovered := ""
	for range 5 { // what was missed comes before the CONNECT packet, perhaps a poll earlier
		_, body = get(t, query(b, sid))
		if recovered += body; strings.Contains(recovered, joined.PID) && strings.Contains(recovered, "missed") {
			return
		}
	}
	t.Errorf("not recovered: %s", recovered)
}
