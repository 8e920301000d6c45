package demo

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fanwire/fanwire/client"
)

// guest is a client in the chat.
type guest struct {
	*client.Socket
	heard chan string
	in    chan struct{} // a token for each connect
}

func join(t *testing.T, address string, opts client.Options) *guest {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	opts.Logger = quiet()
	opts.Reconnect.Delay = 10 * time.Millisecond
	g := &guest{heard: make(chan string, 100), in: make(chan struct{}, 10)}
	var err error
	g.Socket, err = client.Dial(ctx, address, opts, func(s *client.Socket) {
		client.On(s, chatEvent, func(_ context.Context, text string) { g.heard <- text })
		s.OnConnect(func(context.Context) { g.in <- struct{}{} })
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Client().Close)
	g.connected(t)
	return g
}

func (g *guest) connected(t *testing.T) {
	t.Helper()
	select {
	case <-g.in:
	case <-time.After(patience):
		t.Fatal("not connected")
	}
}

func (g *guest) node() string {
	sid := g.Client().SID()
	return sid[strings.LastIndexByte(sid, '.')+1:]
}

func (g *guest) say(t *testing.T, text string) {
	t.Helper()
	if err := g.Emit(t.Context(), chatEvent, text); err != nil {
		t.Fatal(err)
	}
}

func (g *guest) hears(t *testing.T, texts ...string) {
	t.Helper()
	for _, want := range texts {
		select {
		case got := <-g.heard:
			if got != want {
				t.Errorf("on %s: heard %q, want %q", g.node(), got, want)
			}
		case <-time.After(patience):
			t.Fatalf("on %s: did not hear %q", g.node(), want)
		}
	}
}

// The clients of a browser land on different nodes and see each other, over every
// transport.
func TestChatCrossesNodes(t *testing.T) {
	for name, transports := range map[string][]string{
		"polling":   {client.Polling},
		"websocket": {client.WebSocket},
		"upgrade":   {client.Polling, client.WebSocket},
	} {
		t.Run(name, func(t *testing.T) {
			d := startDemo(t, Config{})
			var guests []*guest
			var nodes []string
			for range 3 {
				g := join(t, d.URL(), client.Options{Transports: transports})
				guests = append(guests, g)
				nodes = append(nodes, g.node())
			}
			if want := []string{"n1", "n2", "n3"}; !slices.Equal(nodes, want) {
				t.Errorf("guests on %v", nodes)
			}
			texts := []string{"one", "two <b>", "三"}
			for i, text := range texts {
				guests[i].say(t, text)
				for _, g := range guests {
					g.hears(t, text)
				}
			}
		})
	}
}

func TestPin(t *testing.T) {
	d := startDemo(t, Config{})
	for _, id := range []string{"n2", "n2", "n3"} {
		g := join(t, d.URL(), client.Options{Query: url.Values{"node": {id}}})
		if g.node() != id {
			t.Errorf("pinned to %s, is on %s", id, g.node())
		}
	}
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) { // a node counts a client when it has told it
		_, body := do(t, d.URL(), request{path: "/nodes"})
		if strings.Contains(body, `{"node":"n2","online":2,"up":true}`) {
			break
		}
		if time.Now().After(end) {
			t.Fatal(body)
		}
	}
}

// The page sends through any node by a POST.
func TestSendThrough(t *testing.T) {
	d := startDemo(t, Config{})
	g := join(t, d.URL(), client.Options{Query: url.Values{"node": {"n1"}}})
	for _, id := range []string{"n3", "n1"} {
		if _, got := do(t, d.URL(), request{method: "POST", path: "/send?node=" + id, body: "by " + id}); got != id {
			t.Errorf("sent through %q, want %s", got, id)
		}
		g.hears(t, "by "+id)
	}
}

// A client of a node that goes away is soon back on another one.
func TestNodeGone(t *testing.T) {
	for name, transports := range map[string][]string{
		"polling":   {client.Polling},
		"websocket": {client.WebSocket},
	} {
		t.Run(name, func(t *testing.T) {
			d := startDemo(t, Config{})
			moved := join(t, d.URL(), client.Options{Transports: transports, Query: url.Values{"node": {"n1"}}})
			other := join(t, d.URL(), client.Options{Query: url.Values{"node": {"n2"}}})
			stop(t, d.nodes[0].server)
			stop(t, d.nodes[0].front)
			moved.connected(t)
			if moved.node() == "n1" {
				t.Error("on a node that is gone")
			}
			moved.say(t, "still here")
			other.hears(t, "still here")
			moved.hears(t, "still here")
		})
	}
}

// A node can be used without the balancer.
func TestDirect(t *testing.T) {
	d := startDemo(t, Config{Nodes: 2})
	a := join(t, d.nodes[0].front.URL(), client.Options{})
	b := join(t, d.nodes[1].front.URL(), client.Options{})
	a.say(t, "hello")
	b.hears(t, "hello")
}
