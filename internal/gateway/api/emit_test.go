package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/fanwire/fanwire/client"
	"github.com/fanwire/fanwire/node"
)

// crowd3 is one client on each node, in the rooms "all" and "own N".
func crowd3(t testing.TB, c *testCluster, namespace string, setup ...func(*client.Socket)) []*guest {
	var guests []*guest
	for i, g := range c.nodes {
		a := auth{"user": fmt.Sprint("u", i+1), "rooms": []string{"all", fmt.Sprint("own ", i+1)}}
		guests = append(guests, g.connect(t, namespace, a, setup...))
	}
	return guests
}

func TestEmit(t *testing.T) {
	c := newCluster(t, 3)
	guests := crowd3(t, c, "/chat")
	for i, g := range c.nodes {
		for _, test := range []struct{ target, want string }{
			{`"all":true`, "123"},
			{`"to":["all"]`, "123"},
			{`"to":["own 1","own 3"]`, "13"},
			{`"to":["all","own 2"],"except":["own 1"]`, "23"},
			{`"all":true,"except":["` + guests[2].ID() + `"]`, "12"},
			{`"to":["` + guests[1].ID() + `"]`, "2"},
			{`"to":["all"],"local":true`, fmt.Sprint(i + 1)},
			{`"to":["nobody"]`, ""},
		} {
			body := `{"namespace":"/chat",` + test.target + `,"event":"e","args":[1,{"a":"bé"},{"$binary":"AQID"}]}`
			g.send(t, "POST", "/v1/emit", body, 204)
			g.send(t, "POST", "/v1/emit", `{"namespace":"/chat","all":true,"event":"end"}`, 204)
			got := ""
			for j, guest := range guests {
				event := <-guest.events
				if event == `e [1,{"a":"bé"},{"$binary":"AQID"}]` {
					got += fmt.Sprint(j + 1)
					event = <-guest.events
				}
				if event != "end []" {
					t.Fatalf("%s: client %d got %s", test.target, j+1, event)
				}
			}
			if got != test.want {
				t.Errorf("%s from %s reached %q, want %q", test.target, g.id, got, test.want)
			}
		}
	}
	// No slash, and a namespace that only another node has clients in.
	far := c.nodes[2].connect(t, "/tenant/7", nil)
	c.nodes[0].send(t, "POST", "/v1/emit", `{"namespace":"/tenant/7","all":true,"event":"far"}`, 204)
	far.hears(t, "far []")
	if a := c.nodes[0].send(t, "POST", "/v1/emit", `{"namespace":"/nowhere","all":true,"event":"e"}`, 404); !strings.Contains(a.text, "no_namespace") {
		t.Error(a.text)
	}
}

// answersOf is what the API tells of answers.
type answersOf struct {
	Answers   []any
	Received  int
	Expected  *int
	Complete  bool
	Truncated bool
	Missing   []string
	Unnamed   int
}

func (a *answersOf) String() string {
	expected := -1
	if a.Expected != nil {
		expected = *a.Expected
	}
	texts := make([]string, 0, len(a.Answers))
	for _, v := range a.Answers {
		texts = append(texts, fmt.Sprint(v))
	}
	slices.Sort(texts)
	return fmt.Sprint(texts, a.Received, expected, a.Complete, a.Truncated, a.Missing, a.Unnamed)
}

func (g *gateway) ask(t testing.TB, path, body string) string {
	t.Helper()
	a := g.send(t, "POST", path, body, 200)
	var got answersOf
	a.decode(t, &got)
	return got.String()
}

func TestEmitWithAcks(t *testing.T) {
	c := newCluster(t, 3)
	guests := crowd3(t, c, "/", func(s *client.Socket) {
		client.Handle(s, "who", func(context.Context, client.None) (map[string]any, error) {
			return map[string]any{"id": s.ID(), "bin": []byte{1, 2}}, nil
		})
		client.Handle(s, "nothing", func(context.Context, client.None) (client.None, error) { return client.None{}, nil })
	})
	names := []string{}
	for _, g := range guests {
		names = append(names, fmt.Sprintf("map[bin:map[$binary:AQI=] id:%s]", g.ID()))
	}
	slices.Sort(names)
	want := fmt.Sprint(names, 3, 3, true, false, []string{}, 0)
	for _, g := range c.nodes {
		if got := g.ask(t, "/v1/emit", `{"to":["all"],"event":"who","ack":true}`); got != want {
			t.Errorf("%s: got %s, want %s", g.id, got, want)
		}
	}
	g := c.nodes[0]
	if got := g.ask(t, "/v1/emit", `{"to":["own 2"],"event":"nothing","ack":true}`); got != "[<nil>] 1 1 true false [] 0" {
		t.Error("an empty ack:", got)
	}
	if got := g.ask(t, "/v1/emit", `{"to":["nobody"],"event":"who","ack":true}`); got != "[] 0 0 true false [] 0" {
		t.Error("nobody:", got)
	}
	// One that does not answer.
	c.nodes[1].connect(t, "/", auth{"rooms": []string{"all"}})
	if got := g.ask(t, "/v1/emit", `{"to":["all"],"event":"nothing","ack":true,"timeout":2000}`); got != "[<nil> <nil> <nil>] 3 4 false false [] 0" {
		t.Error("one is silent:", got)
	}
}

// A node that hangs is named; its clients cannot be counted.
func TestEmitWithAcksOfMissingNode(t *testing.T) {
	c := newCluster(t, 2)
	answer := func(s *client.Socket) {
		client.Handle(s, "e", func(context.Context, client.None) (int, error) { return 1, nil })
	}
	crowd3(t, c, "/", answer)
	c.acquainted(t)
	// The node is in the cluster by its subscriptions, and does not serve them.
	hang := make(chan struct{})
	entered := make(chan struct{}, 1)
	c.nodes[1].srv.OnAnyOutgoing(func(context.Context, *node.Socket, string, node.Args) {
		entered <- struct{}{}
		<-hang
	})
	c.nodes[0].send(t, "POST", "/v1/emit", `{"to":["own 2"],"event":"x"}`, 204)
	<-entered
	got := c.nodes[0].ask(t, "/v1/emit", `{"to":["all"],"event":"e","ack":true,"timeout":2000}`)
	close(hang)
	if got != "[1] 1 -1 false false [n2] 0" {
		t.Error(got)
	}
}

// Answers beyond the bounds are counted.
func TestAnswersAreBounded(t *testing.T) {
	c := newCluster(t, 1)
	for range 3 {
		c.nodes[0].connect(t, "/", nil, func(s *client.Socket) {
			client.Handle(s, "e", func(context.Context, client.None) (string, error) { return strings.Repeat("x", maxAnswerBytes/2), nil })
		})
	}
	a := c.nodes[0].send(t, "POST", "/v1/emit", `{"all":true,"event":"e","ack":true}`, 200)
	var got answersOf
	a.decode(t, &got)
	if len(got.Answers) != 1 || got.Received != 3 || !got.Complete || !got.Truncated {
		t.Errorf("%d listed, %d received, complete %v, truncated %v", len(got.Answers), got.Received, got.Complete, got.Truncated)
	}
}

func TestServerEmit(t *testing.T) {
	c := newCluster(t, 3)
	heard := make(chan string, 10)
	for _, g := range c.nodes {
		node.HandleServer(g.srv.Of("/chat"), "prices", func(_ context.Context, _ *node.Namespace, what string) (string, error) {
			heard <- g.id + " " + what
			return "of " + g.id, nil
		})
	}
	c.nodes[1].send(t, "POST", "/v1/server-emit", `{"namespace":"/chat","event":"prices","args":["a"]}`, 204)
	got := []string{<-heard, <-heard}
	slices.Sort(got)
	if !slices.Equal(got, []string{"n1 a", "n3 a"}) {
		t.Error(got)
	}
	if got := c.nodes[0].ask(t, "/v1/server-emit", `{"namespace":"/chat","event":"prices","args":["b"],"ack":true}`); got != "[of n2 of n3] 2 2 true false [] 0" {
		t.Error(got)
	}
	// What gateways ask each other is not for backends.
	for _, event := range []string{"fanwire:data", "fanwire:rooms", "connection"} {
		c.nodes[0].send(t, "POST", "/v1/server-emit", `{"event":"`+event+`","args":[{}]}`, 400)
	}
}

func TestBatch(t *testing.T) {
	c := newCluster(t, 2)
	g, far := c.nodes[0], c.nodes[1].connect(t, "/chat", auth{"user": "anna"})
	id := far.ID()
	a := g.send(t, "POST", "/v1/batch", `{"commands":[
		{"type":"join","namespace":"/chat","to":["`+id+`"],"rooms":["vip"]},
		{"type":"emit","namespace":"/chat","to":["vip"],"event":"one"},
		{"type":"emit","namespace":"/nowhere","all":true,"event":"e"},
		{"type":"leave","namespace":"/chat","to":["`+id+`"],"rooms":["vip"]},
		{"type":"emit","namespace":"/chat","to":["vip"],"event":"two"},
		{"type":"set_data","namespace":"/chat","to":["`+id+`"],"data":{"level":3}},
		{"type":"server_emit","namespace":"/chat","event":"x"},
		{"type":"emit","namespace":"/chat","to":["`+id+`"],"event":"three"}
	]}`, 200)
	var got struct {
		Results []struct {
			OK    bool
			Error *struct{ Code string }
		}
	}
	a.decode(t, &got)
	for i, r := range got.Results {
		if r.OK != (i != 2) || i == 2 && r.Error.Code != "no_namespace" {
			t.Errorf("command %d: %s", i, a.text)
		}
	}
	if len(got.Results) != 8 {
		t.Error(a.text)
	}
	far.hears(t, "one []", "three []")
	eventually(t, "the data is set", func() bool {
		var s struct {
			User string
			Data struct{ Level int }
		}
		g.get(t, "/v1/namespaces/%2Fchat/sockets/"+id, &s)
		return s.User == "anna" && s.Data.Level == 3
	})
	// One that is wrong keeps all from running, and is named.
	a = g.send(t, "POST", "/v1/batch", `{"commands":[{"type":"emit","namespace":"/chat","all":true,"event":"no"},{"type":"emit","event":7},{"type":"join","to":["a"],"rooms":[],"x":1}]}`, 400)
	for _, path := range []string{`"commands[1].event"`, `"commands[2].x"`} {
		if !strings.Contains(a.text, path) {
			t.Errorf("%s is not in %s", path, a.text)
		}
	}
	g.send(t, "POST", "/v1/batch", `{"commands":[`+strings.Repeat(`{"type":"emit","all":true,"event":"e"},`, 1000)+`{"type":"emit","all":true,"event":"e"}]}`, 400)
	g.send(t, "POST", "/v1/batch", `{}`, 400)
	g.send(t, "POST", "/v1/batch", `{"commands":[]}`, http.StatusOK)
	g.send(t, "POST", "/v1/emit", `{"namespace":"/chat","all":true,"event":"last"}`, 204)
	far.hears(t, "last []")
}
