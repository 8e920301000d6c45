package redis

import (
	"testing"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/adapter/adaptertest"
)

func shardedOf(mode SubscriptionMode) *sharded {
	cfg, err := Config{Key: "app", SubscriptionMode: mode}.withDefaults()
	if err != nil {
		panic(err)
	}
	return newSharded(cfg, adaptertest.NewHost("nodeA", "/chat"), "me")
}

// TestShardedChannels: where each mode publishes and subscribes (CLU-H-01 to
// CLU-H-04). A room that has 20 characters for JavaScript counts as an id.
func TestShardedChannels(t *testing.T) {
	const (
		id   = "0123456789abcdefWXYZ"
		long = "012345678901234567890123456.n1"
		utf  = "éééééééééééééééééé😀" // 20 UTF-16 units
	)
	for mode, own := range map[SubscriptionMode][]string{
		"":                 {"r1", "", "#", long},
		ModeDynamicPrivate: {"r1", "", "#", long, id, utf},
		ModeStatic:         {},
	} {
		s := shardedOf(mode)
		want := map[string]string{}
		for _, room := range []string{"r1", "", "#", long, id, utf} {
			want[room] = "app#/chat#"
		}
		for _, room := range own {
			want[room] = "app#/chat#" + room + "#"
		}
		for room, channel := range want {
			it, err := s.encode(adaptertest.Event(`["e"]`, room))
			if err != nil || it.channel != channel || it.verb != verbSPublish {
				t.Errorf("%s: %q is published on %q, %v", mode, room, it.channel, err)
			}
			subscribed := s.roomChannel(room)
			if subscribed != channel && (subscribed != "" || channel != "app#/chat#") {
				t.Errorf("%s: %q is published on %q and subscribed on %q", mode, room, channel, subscribed)
			}
		}
	}
}

// TestShardedCommon: everything but broadcasts to one room goes to all, answers to
// who asked (CLU-H-03, CLU-H-06).
func TestShardedCommon(t *testing.T) {
	s := shardedOf(ModeDynamicPrivate)
	one := adapter.Target{Rooms: []string{"r1"}}
	for _, m := range []*adapter.Message{
		adaptertest.Event(`["e"]`),
		adaptertest.Event(`["e"]`, "r1", "r2"),
		{Kind: adapter.Broadcast, RequestID: "r", Target: one, Packet: event(`["e"]`)},
		{Kind: adapter.Disconnect, Target: one},
		{Kind: adapter.FetchSockets, RequestID: "r", Target: one},
		{Kind: adapter.ServerEvent, Packet: event(`["e"]`)},
		{Kind: adapter.Join, Target: one, Names: []string{"r3"}},
		adaptertest.Event(`["e"]`, "r3"), // joined a moment ago (CLU-H-10)
	} {
		if it, err := s.encode(m); err != nil || it.channel != "app#/chat#" {
			t.Errorf("kind %d: %q, %v", m.Kind, it.channel, err)
		}
	}
	for to, channel := range map[string]string{"you": "app#/chat#you#", "": "app#/chat#"} {
		it, err := s.encodeAnswer(to, &adapter.Message{Kind: adapter.ClientCount, RequestID: "r"})
		if err != nil || it.channel != channel || it.lane != laneAnswers {
			t.Errorf("answer to %q: %q, %v", to, it.channel, err)
		}
	}
}

// FuzzSharded: what arrives on any channel is counted, and the worker goes on.
func FuzzSharded(f *testing.F) {
	for _, c := range capturedSharded() {
		f.Add(uint8(routeAll), c.bytes(f))
	}
	f.Add(uint8(routeRoom), []byte("\xc0"))
	f.Add(uint8(routeAnswer), []byte(`{"type":3,"uid":"x","nsp":"/"}`)) // CLU-H-08
	cfg, _ := Config{}.withDefaults()
	h := adaptertest.NewHost("nodeA", "/")
	h.SetRoom("r1", true)
	m := newMember(&links{cfg: cfg}, h, "me", newSharded(cfg, h, "me"))
	f.Fuzz(func(t *testing.T, kind uint8, b []byte) {
		h.Reset()
		before := m.Stats()
		d := delivery{kind: routeKind(kind % 3), channel: "socket.io#/#r1#", payload: string(b)}
		if !m.protocol.ignores(d) {
			m.handle(d)
		}
		got := h.Messages()
		after := m.Stats()
		if len(got) == 0 && after.BadMessages == before.BadMessages && after.Ignored+after.Duplicates == before.Ignored+before.Duplicates && !m.protocol.ignores(d) {
			t.Fatal("dropped without being counted")
		}
		for _, m := range got {
			checkHandedOver(t, m)
		}
	})
}
