package redis

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/protocol/msgpack"
)

func TestOffsetText(t *testing.T) {
	tests := []offset{
		{at: offsetEpoch + 1},
		{at: offsetEpoch + 60_000_000_000, places: vector{{1, 1}}},
		{at: offsetEpoch + 60_000_000_000, places: vector{{0, 300}, {7, 1}, {math.MaxUint32, math.MaxUint64}}},
	}
	for _, o := range tests {
		text := o.String()
		if strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			t.Errorf("%q does not fit everywhere", text)
		}
		got, ok := parseOffset(text)
		if !ok || got.at != o.at || !slices.Equal(got.places, o.places) {
			t.Errorf("%+v became %q became %+v, %v", o, text, got, ok)
		}
		for n := range len(text) {
			if got, ok := parseOffset(text[:n]); ok && len(got.places) >= max(len(o.places), 1) {
				t.Errorf("%q, a part of %q, is %+v", text[:n], text, got)
			}
		}
	}
	if _, ok := parseOffset(offset{}.String()); ok {
		t.Error("an offset without a time means something")
	}
}

func TestVector(t *testing.T) {
	model := map[uint32]uint64{}
	var v vector
	for range 2000 {
		name, n := rand.Uint32N(20), rand.Uint64N(1000)
		v = v.raise(name, n)
		model[name] = max(model[name], n)
	}
	for name, n := range model {
		if v.of(name) != n {
			t.Errorf("%d is %d, want %d", name, v.of(name), n)
		}
	}
	if !slices.IsSortedFunc(v, func(a, b place) int { return int(a.name) - int(b.name) }) {
		t.Errorf("not in order: %v", v)
	}
	w := v.merge(vector{{3, 5000}, {77, 1}})
	if !w.covers(v) || v.covers(w) || w.of(3) != 5000 || w.of(77) != 1 || v.of(77) != 0 {
		t.Errorf("merged %v", w)
	}
}

// TestPositionsClash: two publishers whose names are the same make offsets that
// promise nothing.
func TestPositionsClash(t *testing.T) {
	seen := map[uint32]string{}
	var a, b string
	for a == "" {
		uid := newUID()
		if other, ok := seen[nameOf(uid)]; ok && other != uid {
			a, b = uid, other
		}
		seen[nameOf(uid)] = uid
	}
	p := newPositions("me")
	p.begin()
	p.confirmed(1, offsetEpoch+1000, time.Now())
	p.looped(1)
	p.raise(a, 5)
	if _, ok := parseOffset(p.here()); !ok {
		t.Fatal("no offset")
	}
	p.raise(b, 6)
	if o, ok := parseOffset(p.here()); ok {
		t.Errorf("%s and %s are both in %+v", a, b, o)
	}
}

func TestPositionsForget(t *testing.T) {
	p := newPositions("me")
	p.raise("me", 1)
	p.raise("other", 2)
	p.prune(time.Now().Add(time.Minute), time.Hour)
	if p.of("other") != 2 {
		t.Error("forgotten too early")
	}
	p.prune(time.Now().Add(2*time.Hour), time.Hour)
	if p.of("other") != 0 || p.of("me") != 1 {
		t.Errorf("other at %d, me at %d", p.of("other"), p.of("me"))
	}
}

func FuzzOffset(f *testing.F) {
	f.Add("")
	f.Add(offset{at: offsetEpoch + 60_000_000_000, places: vector{{1, 1}, {2, 300}}}.String())
	f.Fuzz(func(t *testing.T, text string) {
		o, ok := parseOffset(text)
		if !ok {
			return
		}
		again, ok := parseOffset(o.String())
		if !ok || again.at != o.at || !slices.Equal(again.places, o.places) {
			t.Errorf("%q is %+v, and %+v when written again", text, o, again)
		}
		if len(o.places) > len(text) {
			t.Errorf("%d publishers of %d bytes", len(o.places), len(text))
		}
	})
}

func FuzzJournalEntry(f *testing.F) {
	w := wire{uid: "abc", namespace: "/"}
	m := &adapter.Message{
		Kind:   adapter.Broadcast,
		Target: adapter.Target{Rooms: []string{"r"}, Except: []string{"x"}},
		Packet: adapter.Payload{Data: []byte(`["e",1.5]`)},
	}
	b, err := w.appendBroadcast(nil, m)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(fieldMessage, string(stampPayload(b, extras{kept: 7})), fieldScope, scopeLocal)
	f.Add(fieldTick, "abc", fieldNumber, "12")
	f.Fuzz(func(t *testing.T, key1, value1, key2, value2 string) {
		e := readJournalEntry(xMessage("1-1", map[string]any{key1: value1, key2: value2}))
		if e.publisher == "" {
			return
		}
		if e.name != nameOf(e.publisher) || !e.isTick && (e.n == 0 || e.head.Mark != (adapter.Mark{From: e.publisher, Seq: e.n})) {
			t.Errorf("%+v", e)
		}
		if !e.isTick {
			_, _ = e.event("/")
		}
	})
}

func FuzzSession(f *testing.F) {
	f.Add(appendSession(nil, &adapter.Session{PID: "p", ID: "i", Rooms: []string{"i", "r"}, Data: []byte(`{"a":1}`), Owner: "n", Epoch: "1"}))
	f.Add(msgpack.AppendMap(nil, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := readSession(b)
		if err != nil {
			return
		}
		again, err := readSession(appendSession(nil, s))
		if err != nil || again.PID != s.PID || again.ID != s.ID || !slices.Equal(again.Rooms, s.Rooms) ||
			string(again.Data) != string(s.Data) || again.Offset != s.Offset || !sameLife(again, s) {
			t.Errorf("%+v became %+v, %v", s, again, err)
		}
	})
}
