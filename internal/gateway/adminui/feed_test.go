package adminui

import (
	"bytes"
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/client"
	"github.com/fanwire/fanwire/node"
)

// An admin on n1 learns of the sockets of both nodes.
func TestAllSockets(t *testing.T) {
	n1, n2 := startTwo(t, testConfig())
	a := n1.dial(t, "/", client.Options{Header: cookies(), NoCookies: true})
	b := n2.dial(t, "/?x=1&x=2&y=3", client.Options{Header: cookies(), NoCookies: true})
	b2 := b.Client().Of("/dyn/only-there")
	if err := b2.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	call(t, b, "join", "room")
	call(t, b, "data", map[string]any{"name": "b"})
	call(t, a, "data", "just a text")
	p := n1.open(t, credentials("admin", password))
	list := map[string]map[string]any{}
	for _, s := range parse[[]map[string]any](t, p.await("all_sockets", func(string) bool { return true })) {
		list[s["id"].(string)] = s
	}
	if len(list) != 4 { // the admin is one
		t.Fatal(len(list), list)
	}
	sb := list[b.ID()]
	if sb["nsp"] != "/" || sb["transport"] != "websocket" || len(sb["clientId"].(string)) != 12 || text(sb["data"]) != "map[name:b]" ||
		text(sb["rooms"]) != text([]string{b.ID(), "room"}) {
		t.Error(sb)
	}
	if other := list[b2.ID()]; other == nil || other["clientId"] != sb["clientId"] || other["nsp"] != "/dyn/only-there" {
		t.Error("the same client in a namespace that n1 has not", other)
	}
	if got := text(list[a.ID()]["data"]); got != "map[value:just a text]" {
		t.Error(got)
	}
	for id, s := range list {
		h := s["handshake"].(map[string]any)
		if id == p.ID() {
			continue
		}
		headers := h["headers"].(map[string]any)
		if headers["cookie"] != "***" || headers["authorization"] != "***" || headers["x-thing"] != "shown" || h["address"] != "127.0.0.1" ||
			h["secure"] != false || h["xdomain"] != false || h["issued"].(float64) < 1e12 || !strings.Contains(h["time"].(string), " GMT+0000 ") {
			t.Error(h)
		}
	}
	if q := sb["handshake"].(map[string]any)["query"].(map[string]any); text(q["x"]) != "[1 2]" || q["y"] != "3" || q["EIO"] != "4" {
		t.Error(q)
	}
}

// What happens at n2 reaches the admin on n1, in order and with the official
// arguments.
func TestChanges(t *testing.T) {
	n1, n2 := startTwo(t, testConfig())
	p := n1.admin(t)
	p.names()
	s := n2.dial(t, "/", client.Options{Transports: []string{client.Polling}})
	connected := p.await("socket_connected", func(args string) bool { return strings.Contains(args, s.ID()) })
	if got := parseArgs(t, connected); got[0].(map[string]any)["nsp"] != "/" || !isTime(got[1]) {
		t.Error(got)
	}
	id := s.ID()
	p.await("socket_updated", func(args string) bool {
		return strings.Contains(args, id) && strings.Contains(args, `"transport":"websocket"`) // the upgrade
	})
	p.names()
	call(t, s, "join", "r")
	call(t, s, "data", map[string]any{"k": "v"})
	call(t, s, "leave", "r")
	for _, want := range []struct{ name, args string }{
		{"room_joined", `"/","r","` + id + `"`},
		{"socket_updated", `{"id":"` + id + `","nsp":"/","transport":"websocket","data":{"k":"v"}}`},
		{"room_left", `"/","r","` + id + `"`},
	} {
		p.await(want.name, func(args string) bool { return strings.HasPrefix(args, want.args) })
	}
	s.Close()
	left := p.await("room_left", func(args string) bool { return strings.HasPrefix(args, `"/","`+id+`"`) })
	if got := parseArgs(t, left); len(got) != 4 || !isTime(got[3]) {
		t.Error(got)
	}
	gone := p.await("socket_disconnected", func(args string) bool { return strings.HasPrefix(args, `"/","`+id+`"`) })
	if got := parseArgs(t, gone); got[2] != "client namespace disconnect" || !isTime(got[3]) {
		t.Error(got)
	}
	// As officially: the page takes the socket away, then its rooms.
	names := p.names()
	if i, j := slices.Index(names, "socket_disconnected"), len(names)-1; names[j] != "room_left" || i > j {
		t.Error(names)
	}
}

func isTime(v any) bool {
	text, _ := v.(string)
	at, err := time.Parse("2006-01-02T15:04:05.000Z", text)
	return err == nil && time.Since(at).Abs() < time.Minute
}

func TestEvents(t *testing.T) {
	n1, n2 := startTwo(t, testConfig())
	p := n1.admin(t)
	s := n2.dial(t, "/", client.Options{})
	id := s.ID()
	call(t, s, "echo", 1, "two", map[string]any{"b": []byte("four")})
	for _, want := range []struct{ name, args string }{
		{"event_received", `"/","` + id + `",["echo",1,"two",{"b":{"binary":4}}],`},
		{"event_sent", `"/","` + id + `",["echoed",1,"two",{"b":{"binary":4}}],`},
	} {
		got := parseArgs(t, p.await(want.name, func(args string) bool { return strings.HasPrefix(args, want.args) }))
		if !isTime(got[3]) {
			t.Error(got)
		}
	}
	call(t, s, "echo", strings.Repeat("x", maxArgs))
	p.await("event_received", func(args string) bool {
		return strings.HasPrefix(args, `"/","`+id+`",["echo",{"arguments":1,"bytes":4098}],`)
	})
	if err := n1.srv.Emit(t.Context(), "from n1"); err != nil {
		t.Fatal(err)
	}
	p.await("event_sent", func(args string) bool { return strings.HasPrefix(args, `"/","`+id+`",["from n1"],`) })
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.seen {
		if strings.HasPrefix(e.name, "event_") && strings.Contains(e.args, `"/admin"`) {
			t.Error("the admin namespace tells of its own events", e)
		}
	}
}

func TestAppendSized(t *testing.T) {
	const ph = `{"_placeholder":true,"num":`
	for in, want := range map[string]string{
		`1`:                                   `1`,
		ph + `0}`:                             `{"binary":3}`,
		`[` + ph + `1},{"a":1}]`:              `[{"binary":0},{"a":1}]`,
		ph + `2}`:                             ph + `2}`,
		ph + `-1}`:                            ph + `-1}`,
		ph:                                    ph,
		`"{\"_placeholder\":true,\"num\":0}"`: `"{\"_placeholder\":true,\"num\":0}"`,
	} {
		if got := string(appendSized(nil, []byte(in), [][]byte{[]byte("abc"), {}})); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}

// Without admins nobody is told anything: nothing is published, nothing waits.
func TestNobodyWatches(t *testing.T) {
	n1, n2 := startTwo(t, testConfig())
	s := n2.dial(t, "/", client.Options{})
	call(t, s, "join", "r")
	before := n2.srv.Stats().Adapter.Published
	for range 10 {
		call(t, s, "echo", 1)
	}
	if got := n2.srv.Stats().Adapter.Published - before; got != 0 || len(n2.ui.feed.queue) > 0 {
		t.Error(got, "published")
	}
	p := n1.admin(t)
	eventually(t, "n2 to know of the admin", n2.ui.watchers.on.Load)
	p.Close()
	eventually(t, "n2 to know that it is gone", func() bool { return !n2.ui.watchers.on.Load() })
	eventually(t, "n1 to know it too", func() bool { return !n1.ui.watchers.on.Load() })
}

// A node that was killed with its admins is not told for ever.
func TestWatchersEnd(t *testing.T) {
	n1, _ := startTwo(t, testConfig())
	w := &n1.ui.watchers
	now := time.Now()
	if !w.heard(watch{"gone", 1}, now) || w.heard(watch{"gone", 2}, now) || !w.on.Load() || !far(w) {
		t.Error("not heard")
	}
	w.mu.Lock()
	w.lookLocked(now.Add(watchTime + time.Second))
	w.mu.Unlock()
	if w.on.Load() || far(w) {
		t.Error("still")
	}
	w.heard(watch{"n1", 1}, now) // itself
	w.heard(watch{"", 1}, now)
	if w.on.Load() {
		t.Error("heard itself")
	}
}

func far(w *watchers) bool {
	ours, official := w.far()
	return ours || official
}

// smallBuffer dials so that little is taken that is not read.
func smallBuffer(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return c, c.(*net.TCPConn).SetReadBuffer(4096)
}

// A flood of events that an admin does not read is dropped and counted, and the
// clients go on.
func TestFlood(t *testing.T) {
	n := start(t, &adapter.Hub{}, "n1", testConfig())
	block := make(chan struct{})
	reached := make(chan struct{}, 1)
	lazy := client.Options{Auth: credentials("admin", password), ReceiveQueue: 1, DialContext: smallBuffer}
	n.dial(t, "/admin", lazy, func(s *client.Socket) {
		s.OnAny(func(context.Context, string, client.Args) { // reads no more
			select {
			case reached <- struct{}{}:
			default:
			}
			<-block
		})
	})
	defer close(block)
	<-reached
	s := n.dial(t, "/", client.Options{})
	big := strings.Repeat("x", 3<<10)
	eventually(t, "events to be dropped for the admin", func() bool {
		for range 100 { // until what the operating system takes is full
			call(t, s, "echo", big)
		}
		n.ui.admins.mu.Lock()
		defer n.ui.admins.mu.Unlock()
		return n.ui.Stats().EventsDropped > 0 && len(n.ui.admins.behind) == 1
	})
	if st := n.srv.Stats(); st.SlowConsumers != 0 || st.QueuedBytes > 2<<20 {
		t.Errorf("%+v", st)
	}
}

// Changes that had to be dropped are made good by telling everything anew.
func TestGap(t *testing.T) {
	n1, n2 := startTwo(t, testConfig())
	p := n1.admin(t)
	p.names()
	n2.ui.feed.gap.Store(true)
	p.await("all_sockets", func(string) bool { return true })
	if n2.ui.feed.gap.Load() {
		t.Error("again and again")
	}
	var f feed
	f.queue = make(chan entry, 1)
	f.change("room_joined")
	f.change("room_left")
	if f.changesDropped.Load() != 1 || !f.gap.Load() {
		t.Error("not counted")
	}
}

// What stands for arguments that are too large.
func TestCut(t *testing.T) {
	a, err := node.NewArgs(bytes.Repeat([]byte("x"), 10), strings.Repeat("y", 5000))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(cut(a).JSON()); got != `{"arguments":2,"bytes":5032}` {
		t.Error(got)
	}
}
