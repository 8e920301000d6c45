package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/adapter/redis"
	"github.com/fanwire/fanwire/node"
)

type listOf struct {
	Sockets    []json.RawMessage
	Rooms      []roomView
	Namespaces []namespaceView
	Nodes      []nodeView
	Users      []userView
	Anonymous  int
	Next       string
	gap
}

// all reads a list page by page.
func (g *gateway) all(t testing.TB, path, member string) (entries []string) {
	t.Helper()
	separator, cursor := "?", ""
	if strings.Contains(path, "?") {
		separator = "&"
	}
	for range 100 {
		var page map[string]json.RawMessage
		g.get(t, path+separator+"limit=3&cursor="+cursor, &page)
		var list []json.RawMessage
		if err := json.Unmarshal(page[member], &list); err != nil {
			t.Fatal(err)
		}
		if len(list) > 3 {
			t.Errorf("%s: a page of %d", path, len(list))
		}
		for _, e := range list {
			entries = append(entries, string(e))
		}
		if string(page["missing"]) != "[]" || string(page["unnamed"]) != "0" {
			t.Errorf("%s: not complete: %s %s", path, page["missing"], page["unnamed"])
		}
		if page["next"] == nil {
			return entries
		}
		if err := json.Unmarshal(page["next"], &cursor); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatalf("%s has no end", path)
	return nil
}

// Lists are the same from any node, page by page.
func TestListsAreTheSameFromAnyNode(t *testing.T) {
	c := newCluster(t, 3)
	ids := []string{}
	for i := range 10 {
		room := fmt.Sprint("room/", i%4)
		g := c.nodes[i%3].connect(t, "/chat", auth{"user": fmt.Sprint("user ", i%5), "data": i, "rooms": []string{"all", room}})
		ids = append(ids, g.ID())
	}
	anon := c.nodes[0].connect(t, "/chat", auth{"rooms": []string{"all"}})
	ids = append(ids, anon.ID())
	c.nodes[1].connect(t, "/tenant/1", nil)
	slices.Sort(ids)
	paths := map[string]string{
		"/v1/namespaces/%2Fchat/sockets":                 "sockets",
		"/v1/namespaces/chat/sockets?room=room%2F1":      "sockets",
		"/v1/namespaces/%2Fchat/rooms":                   "rooms",
		"/v1/namespaces/%2Fchat/rooms/all":               "users",
		"/v1/namespaces/%2fchat/rooms/room%2F2":          "users",
		"/v1/namespaces":                                 "namespaces",
		"/v1/namespaces/%2Fchat/sockets?room=" + ids[0]:  "sockets",
		"/v1/namespaces/%2Ftenant%2F1/sockets":           "sockets",
		"/v1/namespaces/%2Fchat/sockets?room=room%2F404": "sockets",
	}
	got := map[string][]string{}
	for path, member := range paths {
		for _, g := range c.nodes {
			list := g.all(t, path, member)
			if g == c.nodes[0] {
				got[path] = list
			} else if !slices.Equal(list, got[path]) {
				t.Errorf("%s: %s has\n%v\nn1 has\n%v", path, g.id, list, got[path])
			}
		}
	}
	var listed []string
	for _, text := range got["/v1/namespaces/%2Fchat/sockets"] {
		var s socketView
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			t.Fatal(err)
		}
		listed = append(listed, s.ID)
		if s.Node == "" || s.Transport != "websocket" || s.Protocol != 4 || s.Handshake.Address != "127.0.0.1" || time.Since(s.Handshake.Time) > time.Minute || !slices.Contains(s.Rooms, "all") {
			t.Error(text)
		}
	}
	if !slices.Equal(listed, ids) {
		t.Errorf("listed %v, connected %v", listed, ids)
	}
	counts := map[string]int{
		"/v1/namespaces/chat/sockets?room=room%2F1":      3,
		"/v1/namespaces/%2Fchat/sockets?room=" + ids[0]:  1,
		"/v1/namespaces/%2Ftenant%2F1/sockets":           1,
		"/v1/namespaces/%2Fchat/sockets?room=room%2F404": 0,
	}
	for path, want := range counts {
		if len(got[path]) != want {
			t.Errorf("%s: %d, want %d", path, len(got[path]), want)
		}
	}
	if rooms := fmt.Sprint(got["/v1/namespaces/%2Fchat/rooms"]); rooms != `[{"name":"all","sockets":11} {"name":"room/0","sockets":3} {"name":"room/1","sockets":3} {"name":"room/2","sockets":2} {"name":"room/3","sockets":2}]` {
		t.Error(rooms)
	}
	if n := fmt.Sprint(got["/v1/namespaces"]); n != `[{"name":"/","sockets":0,"nodes":3} {"name":"/chat","sockets":11,"nodes":3} {"name":"/tenant/1","sockets":1,"nodes":1}]` {
		t.Error(n)
	}
	if users := got["/v1/namespaces/%2Fchat/rooms/all"]; len(users) != 5 || !strings.Contains(users[4], `{"user":"user 4","count":2,"sockets":["`) {
		t.Error(users)
	}
}

func TestPresence(t *testing.T) {
	c := newCluster(t, 3)
	room := "doc/7 %2F ä?#"
	a1 := c.nodes[0].connect(t, "/", auth{"user": "anna", "rooms": []string{room}})
	a2 := c.nodes[2].connect(t, "/", auth{"user": "anna", "rooms": []string{room}})
	b := c.nodes[1].connect(t, "/", auth{"user": "bert", "rooms": []string{room}})
	c.nodes[1].connect(t, "/", auth{"rooms": []string{room}})
	c.nodes[1].connect(t, "/", auth{"user": "carl", "rooms": []string{"doc"}})
	ids := []string{a1.ID(), a2.ID()}
	slices.Sort(ids)
	want := fmt.Sprintf(`{"users":[{"user":"anna","count":2,"sockets":["%s","%s"]},{"user":"bert","count":1,"sockets":["%s"]}],"room":"doc/7 %%2F ä?#","sockets":4,"anonymous":1,"missing":[],"unnamed":0}`, ids[0], ids[1], b.ID())
	for _, g := range c.nodes {
		if a := g.do(t, readKey, "GET", "/v1/namespaces/%2F/rooms/"+url.PathEscape(room), ""); a.text != want {
			t.Errorf("%s: got\n%s\nwant\n%s", g.id, a.text, want)
		}
	}
}

func TestOneSocket(t *testing.T) {
	c := newCluster(t, 3)
	far := c.nodes[2].connect(t, "/tenant/a b", auth{"user": "anna", "data": map[string]any{"x": 1}})
	here, at := c.nodes[0], "/v1/namespaces/%2Ftenant%2Fa%20b/sockets/"+far.ID()
	var s struct {
		socketView
		Data struct{ X int } `json:"data"`
	}
	here.get(t, at, &s)
	if s.ID != far.ID() || s.User != "anna" || s.Node != "n3" || s.Data.X != 1 {
		t.Errorf("%+v", s)
	}
	is := func(what string, cond func() bool) {
		t.Helper()
		eventually(t, what, func() bool {
			s.Data.X = 0
			here.get(t, at, &s)
			return cond()
		})
	}
	here.send(t, "POST", at+"/join", `{"rooms":["r1","r2"]}`, 204)
	is("joined", func() bool { return slices.Equal(s.Rooms, []string{"r1", "r2"}) })
	here.send(t, "POST", at+"/leave", `{"rooms":["r1"]}`, 204)
	is("left", func() bool { return slices.Equal(s.Rooms, []string{"r2"}) })
	here.send(t, "PUT", at+"/data", ` {"x":7} `, 204)
	is("data set", func() bool { return s.Data.X == 7 && s.User == "anna" })

	for _, bad := range []struct{ method, path, body string }{
		{"POST", "/join", `{}`},
		{"POST", "/join", `{"rooms":["` + strings.Repeat("r", 257) + `"]}`},
		{"POST", "/leave", `{"rooms":"r1"}`},
		{"POST", "/disconnect", `{"close":1}`},
		{"PUT", "/data", `{"x":`},
		{"PUT", "/data", `"` + strings.Repeat("x", 64<<10) + `"`},
	} {
		here.send(t, bad.method, at+bad.path, bad.body, 400)
	}
	gone := make(chan struct{})
	far.OnAny(func(context.Context, string, node.Args) {})
	go func() {
		defer close(gone)
		for far.Connected() {
			time.Sleep(time.Millisecond)
		}
	}()
	here.send(t, "POST", at+"/disconnect", `{"close":true}`, 204)
	<-gone
	eventually(t, "it is not found any more", func() bool { return here.do(t, allKey, "GET", at, "").StatusCode == 404 })
	for _, op := range []string{"/join", "/leave"} {
		if a := here.send(t, "POST", at+op, `{"rooms":["r"]}`, 404); !strings.Contains(a.text, "no_socket") && !strings.Contains(a.text, "no_namespace") {
			t.Error(a.text)
		}
	}
}

// A room that is another's id does not pass for that socket.
func TestSocketIsNotARoom(t *testing.T) {
	c := newCluster(t, 2)
	c.nodes[1].connect(t, "/", auth{"rooms": []string{"pretended"}})
	for _, g := range c.nodes {
		g.send(t, "POST", "/v1/namespaces/%2F/sockets/pretended/join", `{"rooms":["r"]}`, 404)
	}
}

// libraryNode is a program that uses package node: it knows nothing of gateways.
func libraryNode(t *testing.T, c *testCluster) *gateway {
	t.Helper()
	rdb := goredis.NewClient(&goredis.Options{Addr: c.redis.Addr()})
	srv, err := node.New(node.Config{NodeID: "library", Adapter: redis.NewAdapter(rdb, redis.Config{Logger: quiet()}), Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	srv.Use(func(next node.ConnectFunc) node.ConnectFunc {
		return func(ctx context.Context, s *node.Socket) error {
			s.SetData(map[string]string{"nick": "lib"})
			return s.Join(ctx, "mixed")
		}
	})
	g := &gateway{id: "library", srv: srv, redis: rdb}
	g.serveClients(t)
	if err := srv.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = srv.Shutdown(ctx)
		g.clients.Close()
		rdb.Close()
	})
	return g
}

// Sockets of nodes that are no gateways are listed, their rooms are known to be
// missing.
func TestOtherNodes(t *testing.T) {
	c := newCluster(t, 2)
	lib := libraryNode(t, c)
	eventually(t, "all know each other", func() bool { return len(c.nodes[0].srv.Nodes()) == 3 && len(c.nodes[1].srv.Nodes()) == 3 })
	ours := c.nodes[1].connect(t, "/", auth{"user": "anna", "data": "d", "rooms": []string{"mixed"}})
	theirs := lib.connect(t, "/", nil)
	var first string
	for _, g := range c.nodes {
		a := g.do(t, allKey, "GET", "/v1/namespaces/%2F/sockets", "")
		var got struct{ Sockets []socketView }
		a.decode(t, &got)
		for _, s := range got.Sockets {
			switch {
			case s.ID == ours.ID() && s.Node == "n2" && s.User == "anna" && string(s.Data) == `"d"`:
			case s.ID == theirs.ID() && s.Node == "" && string(s.Data) == `{"nick":"lib"}` && slices.Equal(s.Rooms, []string{"mixed"}):
			default:
				t.Errorf("%s: %+v", g.id, s)
			}
		}
		if len(got.Sockets) != 2 || !strings.HasSuffix(a.text, `"missing":[],"unnamed":0}`) {
			t.Error(g.id, a.text)
		}
		if first == "" {
			first = a.text
		} else if a.text != first {
			t.Errorf("n1 says\n%s\n%s says\n%s", first, g.id, a.text)
		}
		var one socketView
		g.get(t, "/v1/namespaces/%2F/sockets/"+theirs.ID(), &one)
		if one.ID != theirs.ID() {
			t.Error(one)
		}
		if a := g.do(t, allKey, "GET", "/v1/namespaces/%2F/rooms/mixed", ""); !strings.Contains(a.text, `"sockets":2,"anonymous":1,"missing":[],"unnamed":0`) {
			t.Error(a.text)
		}
		if a := g.do(t, allKey, "GET", "/v1/namespaces/%2F/rooms", ""); a.text != `{"rooms":[{"name":"mixed","sockets":1}],"missing":[],"unnamed":1}` {
			t.Error(a.text)
		}
	}
	c.nodes[0].send(t, "POST", "/v1/namespaces/%2F/sockets/"+theirs.ID()+"/join", `{"rooms":["late"]}`, 204)
	s, _ := lib.srv.Socket(theirs.ID())
	eventually(t, "theirs has joined", func() bool { return s.InRoom("late") })
}

// An official node hears requests and does not answer those of gateways: they do
// not wait for it for long, and say so.
func TestSilentNode(t *testing.T) {
	c := newCluster(t, 2)
	c.acquainted(t)
	c.nodes[1].connect(t, "/", auth{"rooms": []string{"r"}})
	official := c.nodes[0].redis.Subscribe(t.Context(), "socket.io-request#/#")
	defer official.Close()
	if _, err := official.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	a := c.nodes[0].do(t, allKey, "GET", "/v1/namespaces/%2F/rooms", "")
	if a.text != `{"rooms":[{"name":"r","sockets":1}],"missing":[],"unnamed":1}` {
		t.Error(a.text)
	}
	if took := time.Since(start); took > askTimeout/2 {
		t.Errorf("it took %v", took)
	}
	// Where they could answer they are awaited.
	c.nodes[0].api.wait = 2 * time.Second // which the others have to answer in
	if a := c.nodes[0].do(t, allKey, "GET", "/v1/namespaces/%2F/sockets", ""); !strings.HasSuffix(a.text, `"missing":[],"unnamed":1}`) {
		t.Error(a.text)
	}
	a = c.nodes[0].do(t, allKey, "GET", "/v1/namespaces/%2F/sockets/unknown", "")
	if a.StatusCode != 503 || !strings.Contains(a.text, `"code":"incomplete"`) || !strings.Contains(a.text, `"unnamed":1`) {
		t.Error(a.Status, a.text)
	}
}

// A gateway that does not answer is named.
func TestMissingNode(t *testing.T) {
	c := newCluster(t, 3)
	c.acquainted(t)
	c.nodes[0].api.wait = 2 * time.Second // which the others have to answer in; each request takes as long
	hang, asked := make(chan struct{}), make(chan struct{}, 1)
	node.OnServer(c.nodes[2].srv, "hang", func(context.Context, *node.Namespace, node.None) error {
		asked <- struct{}{}
		<-hang
		return nil
	})
	defer close(hang)
	c.nodes[0].send(t, "POST", "/v1/server-emit", `{"event":"hang"}`, 204)
	<-asked
	var requests sync.WaitGroup
	defer requests.Wait()
	for _, path := range []string{"/v1/namespaces/%2F/rooms", "/v1/namespaces/%2F/rooms/r", "/v1/namespaces/%2F/sockets", "/v1/namespaces"} {
		requests.Go(func() {
			if a := c.nodes[0].do(t, allKey, "GET", path, ""); a.StatusCode != 200 || !strings.HasSuffix(a.text, `"missing":["n3"],"unnamed":0}`) {
				t.Errorf("%s: %s %s", path, a.Status, a.text)
			}
		})
	}
	requests.Go(func() {
		a := c.nodes[0].do(t, allKey, "GET", "/v1/namespaces/%2F/sockets/x", "")
		if a.StatusCode != 503 || !strings.Contains(a.text, `"missing":["n3"]`) {
			t.Error(a.Status, a.text)
		}
	})
	var nodes listOf
	c.nodes[0].get(t, "/v1/nodes", &nodes)
	if len(nodes.Nodes) != 3 || !nodes.Nodes[1].Answered || nodes.Nodes[2].Answered || nodes.Nodes[2].ID != "n3" {
		t.Errorf("%+v", nodes)
	}
}

func TestNodes(t *testing.T) {
	c := newCluster(t, 3)
	c.nodes[1].srv.Advertise("http://10.0.0.2:3000")
	c.nodes[1].connect(t, "/chat", nil)
	for _, g := range c.nodes {
		eventually(t, "the address is known", func() bool {
			var list listOf
			g.get(t, "/v1/nodes", &list)
			if len(list.Nodes) != 3 || len(list.Missing) != 0 {
				t.Fatalf("%+v", list)
			}
			for i, n := range list.Nodes {
				if n.ID != fmt.Sprint("n", i+1) || !n.Answered || !n.Ready || n.Version != "test" || n.Uptime <= 0 || n.Namespaces != 2 {
					t.Fatalf("%+v", n)
				}
			}
			n := list.Nodes[1]
			return n.Address == "http://10.0.0.2:3000" && n.Sessions == 1 && n.Sockets == 1
		})
	}
}
