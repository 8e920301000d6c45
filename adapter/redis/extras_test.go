package redis

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/adapter/adaptertest"
	"github.com/fanwire/fanwire/adapter/redis/redistest"
)

// stamped lists messages of each form.
func stampedMessages() map[string]*adapter.Message {
	bin := event(`["e",{"_placeholder":true,"num":0}]`, []byte{1})
	return map[string]*adapter.Message{
		"array":             {Kind: adapter.Broadcast, Packet: event(`["e",1]`)},
		"array and raw":     {Kind: adapter.Broadcast, Packet: event(`["e",1e400]`)},
		"map":               {Kind: adapter.Broadcast, RequestID: "r", Packet: bin},
		"map and raw":       {Kind: adapter.Broadcast, RequestID: "r", Packet: event(`["e",1e400]`)},
		"JSON":              {Kind: adapter.Join, Names: []string{"r"}},
		"JSON and brackets": {Kind: adapter.ServerEvent, Packet: event(`["e",{"fanwire":{}}]`)},
	}
}

// TestStamp: what only Fanwire reads arrives, and the message stays the same.
func TestStamp(t *testing.T) {
	cfg, _ := Config{}.withDefaults()
	sender := newClassic(cfg, adaptertest.NewHost("nodeA", "/"), "me")
	receiver := newClassic(cfg, adaptertest.NewHost("nodeB", "/"), "you")
	for name, m := range stampedMessages() {
		for _, x := range []extras{{}, {number: 1}, {number: 1 << 40, kept: 300}, {kept: 7, publisher: `"ö"`}, {number: 3, kept: 4, publisher: "p", trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}} {
			plain, err := sender.encode(m)
			if err != nil {
				t.Fatal(err)
			}
			it := plain
			it.payload = append([]byte(nil), plain.payload...)
			sender.stamp(&it, x)
			in, err := receiver.decode(deliveryOf(receiver, it))
			if err != nil {
				t.Fatalf("%s: %x: %v", name, it.payload, err)
			}
			in.extras.raw = nil
			if !reflect.DeepEqual(in.extras, x) || in.from != "me" {
				t.Errorf("%s: from %s %+v instead of %+v", name, in.from, in.extras, x)
			}
			without, err := receiver.decode(deliveryOf(receiver, plain))
			if err != nil || !reflect.DeepEqual(in.msg, without.msg) {
				t.Errorf("%s: %+v became %+v, %v", name, without.msg, in.msg, err)
			}
		}
	}
}

func deliveryOf(c *classic, it item) delivery {
	kind := routeAll
	if it.channel == c.names.request {
		kind = routeRequest
	}
	return delivery{kind: kind, channel: it.channel, payload: string(it.payload)}
}

// TestStampedOwn: our own broadcasts are known whatever was added to them.
func TestStampedOwn(t *testing.T) {
	cfg, _ := Config{}.withDefaults()
	c := newClassic(cfg, adaptertest.NewHost("nodeA", "/"), "me")
	for name, m := range stampedMessages() {
		for _, x := range []extras{{}, {number: 1}, {number: 1, trace: strings.Repeat("t", adapter.MaxTrace)}} {
			it, err := c.encode(m)
			if err != nil {
				t.Fatal(err)
			}
			c.stamp(&it, x)
			d := deliveryOf(c, it)
			_, err = c.decode(d)
			if d.kind == routeAll && !c.ignores(d) || !errors.Is(err, errForeign) {
				t.Errorf("%s: taken for another's", name)
			}
		}
	}
}

func TestBadExtras(t *testing.T) {
	w := wire{uid: "me", namespace: "/"}
	for _, text := range []string{`{"s":-1}`, `{"s":"1"}`, `{"p":{}}`, `{"trace":[]}`} {
		if _, _, err := readRequest(w, []byte(`{"type":1,"requestId":"r","fanwire":`+text+`}`)); err == nil {
			t.Errorf("%s was taken", text)
		}
	}
	for _, b := range []string{"\x81\xa1s\xff", "\x81\xa1j\xa11", "\x81\xa1p\x80", "\x81\xa5trace\x90"} {
		b = "\x94\xa1x\x83\xa4type\x02\xa4data\x91\xa1e\xa3nsp\xa1/\x83\xa5rooms\x90\xa6except\x90\xa5flags\x80" + b
		if _, err := decodeBroadcast([]byte(b), "/"); err == nil {
			t.Errorf("%q was taken", b)
		}
	}
}

// TestNumbersFollowTheOutbox: messages are numbered in the order in which they
// leave, by whatever goroutine (HRD-62).
func TestNumbersFollowTheOutbox(t *testing.T) {
	cfg, _ := Config{}.withDefaults()
	h := adaptertest.NewHost("nodeA", "/")
	m := newMember(&links{cfg: cfg}, h, "me", newClassic(cfg, h, "me"))
	m.link = newLink(nil, cfg, "nodeA", wireClassic)
	const callers, each = 8, 100
	done := make(chan error)
	for range callers {
		go func() {
			var err error
			for range each {
				_, e := m.Publish(t.Context(), adaptertest.Event(`["e"]`))
				err = errors.Join(err, e)
			}
			done <- err
		}()
	}
	for range callers {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	for i, it := range m.link.out.take(nil, 2*callers*each, 2<<20) {
		b, err := readBroadcast(it.payload)
		if err != nil || b.extras.number != uint64(i+1) {
			t.Fatalf("%d in place %d, %v", b.extras.number, i+1, err)
		}
	}
}

// TestOutboxXAdd: the outbox carries entries of streams as well, and tells their
// ids.
func TestOutboxXAdd(t *testing.T) {
	server := redistest.Start(t)
	cfg, _ := Config{}.withDefaults()
	l := newLink(server.Client(t), cfg, "nodeA", wireClassic)
	l.start()
	defer l.stop()
	told := make(chan outcome, 1)
	it := item{verb: verbXAdd, channel: "stream", payload: []byte("{}"), since: time.Now(), to: &counters{}}
	it.entry = &entry{args: []any{"MAXLEN", "~", 10, "*", "type", "3", "data"}, outcome: told}
	l.out.push(it)
	got := <-told
	entries, err := server.Client(t).XRange(t.Context(), "stream", "-", "+").Result()
	if err != nil || got.err != nil || len(entries) != 1 || entries[0].ID != got.id || entries[0].Values["data"] != "{}" {
		t.Errorf("%+v, %+v, %v", got, entries, err)
	}
	it.channel = "string"
	server.Client(t).Set(t.Context(), "string", 1, 0)
	l.out.push(it)
	if got := <-told; got.err == nil {
		t.Error("no error")
	}
}
