package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/client"
	"github.com/fanwire/fanwire/node"
)

const timeout = time.Minute

// gateway is a node with a runner: two of them on a hub are a cluster.
type gateway struct {
	*Runner
	srv *node.Server
	url string
	got chan string // server events "tick", as JSON

	mu   sync.Mutex
	open int // namespaces that were not released
}

// Open implements Namespaces. Of its namespaces, /closed is not configured.
func (g *gateway) Open(name string) (*node.Namespace, func(), error) {
	if name == "/closed" {
		return nil, nil, ErrNoNamespace
	}
	g.mu.Lock()
	g.open++
	g.mu.Unlock()
	return g.srv.Of(name), func() {
		g.mu.Lock()
		g.open--
		g.mu.Unlock()
	}, nil
}

func startGateway(t *testing.T, hub *adapter.Hub, o Options) *gateway {
	t.Helper()
	srv, err := node.New(node.Config{Adapter: hub.Factory, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{srv: srv, got: make(chan string, 10)}
	o.Namespaces = g
	g.Runner = NewRunner(o)
	for _, name := range []string{"/", "/chat"} {
		g.Handle(srv.Of(name))
		node.OnServer(srv.Of(name), "tick", func(_ context.Context, ns *node.Namespace, a node.Args) error {
			g.got <- ns.Name() + a.String()
			return nil
		})
	}
	web := httptest.NewServer(srv)
	g.url = web.URL
	if err := srv.Ready(context.Background()); err != nil { // hears the others from now on
		t.Error(err)
	}
	t.Cleanup(func() {
		if err := srv.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		web.Close()
		if g.open != 0 {
			t.Errorf("%d namespaces were not released", g.open)
		}
	})
	return g
}

// user is a client, its socket on the server, and what it got.
type user struct {
	*client.Socket
	server *node.Socket
	events chan string // "event [args]"
	gone   chan string
}

func (g *gateway) connect(t *testing.T, namespace string, rooms ...string) *user {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	u := &user{events: make(chan string, 100), gone: make(chan string, 1)}
	var err error
	u.Socket, err = client.Dial(ctx, g.url+namespace, client.Options{}, func(s *client.Socket) {
		s.OnAny(func(_ context.Context, event string, a client.Args) {
			u.events <- fmt.Sprintf("%s %s %q", event, a.String(), a.Attachments())
		})
		s.OnDisconnect(func(_ context.Context, d client.Disconnect) { u.gone <- string(d.Reason) })
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(u.Close)
	name := namespace
	if name == "" {
		name = "/"
	}
	u.server, _ = g.srv.Of(name).Socket(u.ID())
	if err := u.server.Join(ctx, rooms...); err != nil {
		t.Fatal(err)
	}
	return u
}

func (g *gateway) run(t *testing.T, text string, self *node.Socket) error {
	t.Helper()
	c, ps := Parse([]byte(text))
	if ps != nil {
		t.Fatal(ps)
	}
	return g.Run(context.Background(), c, self)
}

// must is run for what has to succeed.
func (g *gateway) must(t *testing.T, text string, self *node.Socket) {
	t.Helper()
	if err := g.run(t, text, self); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

// expect takes what the user got until event "end", which the caller has sent last.
func (u *user) expect(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	for {
		select {
		case e := <-u.events:
			if strings.HasPrefix(e, "end ") {
				if !slices.Equal(got, want) {
					t.Errorf("got %q, want %q", got, want)
				}
				return
			}
			got = append(got, e)
		case <-time.After(timeout):
			t.Fatalf("got only %q", got)
		}
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for begin := time.Now(); !ok(); time.Sleep(time.Millisecond) {
		if time.Since(begin) > timeout {
			t.Fatal("it does not come: ", what)
		}
	}
}

// next takes what comes from a channel.
func next[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(timeout):
		t.Fatal("nothing comes")
		panic("unreachable")
	}
}

const end = `{"type":"emit","all":true,"event":"end"}`

func TestEmit(t *testing.T) {
	hub := new(adapter.Hub)
	one, two := startGateway(t, hub, Options{}), startGateway(t, hub, Options{})
	anna, bert := one.connect(t, "", "red"), one.connect(t, "", "blue")
	carl, dora := two.connect(t, "", "red", "blue"), two.connect(t, "/chat", "red")

	for _, text := range []string{
		`{"type":"emit","to":["red"],"event":"red"}`,
		`{"type":"emit","to":["red","blue"],"event":"both","args":[1e400,{"$binary":"AQ=="}]}`,
		`{"type":"emit","to":["red","blue"],"except":["blue"],"event":"not blue"}`,
		`{"type":"emit","all":true,"event":"local","local":true}`,
		`{"type":"emit","to":["` + carl.ID() + `"],"event":"one"}`,
		`{"type":"emit","namespace":"/chat","to":["red"],"event":"chat"}`,
		end,
		strings.Replace(end, `"all"`, `"namespace":"/chat","all"`, 1),
	} {
		one.must(t, text, nil)
	}
	both := `both [1e400,{"_placeholder":true,"num":0}] ["\x01"]`
	anna.expect(t, `red [] []`, both, `not blue [] []`, `local [] []`)
	bert.expect(t, both, `local [] []`)
	carl.expect(t, `red [] []`, both, `one [] []`)
	dora.expect(t, `chat [] []`)
	if n := one.Stats().Kinds[Emit]; n != (Count{Done: 8}) {
		t.Error(n)
	}
}

// A command without a target means the client; with one the client is like others,
// and its namespace is that of the client unless it says otherwise.
func TestSelf(t *testing.T) {
	g := startGateway(t, new(adapter.Hub), Options{})
	dora, emil := g.connect(t, "/chat"), g.connect(t, "/chat")
	g.must(t, `{"type":"emit","event":"hello","args":["you"],"compress":true}`, dora.server)
	g.must(t, `{"type":"join","rooms":["red"]}`, dora.server)
	g.must(t, `{"type":"emit","to":["red"],"event":"red"}`, emil.server)
	g.must(t, `{"type":"emit","all":true,"except":["`+dora.ID()+`"],"event":"others"}`, dora.server)
	g.must(t, `{"type":"leave","rooms":["red"]}`, dora.server)
	g.must(t, `{"type":"emit","to":["red"],"event":"nobody"}`, dora.server)
	g.must(t, `{"type":"set_data","data":{"x":1}}`, dora.server)
	g.must(t, `{"type":"emit","all":true,"event":"end"}`, dora.server)
	dora.expect(t, `hello ["you"] []`, `red [] []`)
	emil.expect(t, `others [] []`)
	if data, _ := node.Data[json.RawMessage](dora.server); string(data) != `{"x":1}` {
		t.Errorf("data: %s", data)
	}
	if data, ok := node.Data[json.RawMessage](emil.server); ok {
		t.Errorf("data of another one: %s", data)
	}
	g.must(t, `{"type":"disconnect"}`, dora.server)
	if reason := next(t, dora.gone); reason != "io server disconnect" {
		t.Error(reason)
	}
	if err := g.run(t, `{"type":"emit","event":"late"}`, dora.server); !errors.Is(err, node.ErrDisconnected) {
		t.Error(err)
	}
	var invalid *InvalidError
	err := g.run(t, `{"type":"disconnect","namespace":"/"}`, emil.server)
	if !errors.As(err, &invalid) || invalid.Problems[0].Path != "namespace" {
		t.Error(err)
	}
}

func TestRoomsOnOtherNodes(t *testing.T) {
	hub := new(adapter.Hub)
	one, two := startGateway(t, hub, Options{}), startGateway(t, hub, Options{})
	carl, dora := two.connect(t, "", "red"), two.connect(t, "")
	one.must(t, `{"type":"join","to":["red"],"rooms":["green","`+dora.ID()+`2"]}`, nil)
	eventually(t, "the join", func() bool { return carl.server.InRoom("green") })
	one.must(t, `{"type":"leave","all":true,"rooms":["red"]}`, nil)
	eventually(t, "the leave", func() bool { return !carl.server.InRoom("red") })
	one.must(t, `{"type":"disconnect","to":["green"],"close":true}`, nil)
	next(t, carl.gone)
	if !dora.Connected() || dora.server.InRoom("green") {
		t.Error("the other one was meant, too")
	}
}

// Data is set on all nodes; the hook that stores it sees each socket once.
func TestSetData(t *testing.T) {
	var mu sync.Mutex
	stored := map[string]string{}
	o := Options{SetData: func(s *node.Socket, data json.RawMessage) {
		mu.Lock()
		defer mu.Unlock()
		stored[s.ID()] += string(data)
	}}
	hub := new(adapter.Hub)
	one, two := startGateway(t, hub, o), startGateway(t, hub, o)
	anna, bert := one.connect(t, "", "red"), one.connect(t, "", "blue")
	carl, dora := two.connect(t, "", "red"), two.connect(t, "", "red", "blue")
	one.must(t, `{"type":"set_data","to":["red"],"except":["blue"],"data":{"x":"<1>"}}`, nil)
	one.must(t, `{"type":"set_data","all":true,"local":true,"data":null}`, nil)
	one.must(t, `{"type":"set_data","all":true,"data":7}`, nil)
	want := map[string]string{anna.ID(): `{"x":"<1>"}null7`, bert.ID(): `null7`, carl.ID(): `{"x":"<1>"}7`, dora.ID(): `7`}
	eventually(t, "the data", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return fmt.Sprint(stored) == fmt.Sprint(want)
	})
	if n := two.Stats().Received; n != 2 {
		t.Errorf("%d received", n)
	}
}

// What another node says is looked at like what a backend says.
func TestSetDataOfAnotherNode(t *testing.T) {
	hub := new(adapter.Hub)
	one, two := startGateway(t, hub, Options{}), startGateway(t, hub, Options{})
	carl := two.connect(t, "")
	ctx := context.Background()
	for _, m := range []any{
		map[string]any{"data": 1},
		map[string]any{"all": true},
		map[string]any{"to": "red", "data": 1},
		"x", nil,
		map[string]any{"all": true, "data": strings.Repeat("x", 100_000)},
	} {
		if err := one.srv.ServerEmit(ctx, dataEvent, m); err != nil {
			t.Fatal(err)
		}
	}
	if err := one.srv.ServerEmit(ctx, "tick"); err != nil {
		t.Fatal(err)
	}
	next(t, two.got) // server events are handled in their order
	if data, ok := node.Data[json.RawMessage](carl.server); ok || two.Stats().Received != 0 {
		t.Errorf("data was set: %s", data)
	}
}

func TestServerEmit(t *testing.T) {
	hub := new(adapter.Hub)
	one, two := startGateway(t, hub, Options{}), startGateway(t, hub, Options{})
	anna := one.connect(t, "/chat")
	one.must(t, `{"type":"server_emit","event":"tick","args":[1,"x"]}`, nil)
	one.must(t, `{"type":"server_emit","event":"tick"}`, anna.server)
	if got := []string{next(t, two.got), next(t, two.got)}; !slices.Equal(got, []string{`/[1,"x"]`, `/chat[]`}) && !slices.Equal(got, []string{`/chat[]`, `/[1,"x"]`}) {
		t.Error(got)
	}
}

func TestRunRefuses(t *testing.T) {
	g := startGateway(t, new(adapter.Hub), Options{Limits: Limits{RoomName: 10}})
	var invalid *InvalidError
	for _, text := range []string{`{"type":"explode"}`, `{"type":"emit","event":"x"}`, `{"type":"emit","to":["12345678901"],"event":"x"}`} {
		if err := g.run(t, text, nil); !errors.As(err, &invalid) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if err := g.run(t, `{"type":"emit","namespace":"/closed","all":true,"event":"x"}`, nil); !errors.Is(err, ErrNoNamespace) {
		t.Error(err)
	}
	if n := g.Stats().Kinds[Emit]; n != (Count{Failed: 3}) {
		t.Error(n)
	}
	g.SetLimits(Limits{})
	g.must(t, `{"type":"emit","to":["12345678901"],"event":"x"}`, nil)
}
