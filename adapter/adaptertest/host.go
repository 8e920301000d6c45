// Package adaptertest is the test suite of adapters: [Run] tells whether an
// implementation keeps the contract of package adapter. [Host] stands in for a
// node and records what it is given; it is useful on its own.
package adaptertest

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fanwire/fanwire/adapter"
)

// Timeout is how long the helpers of this package wait for something that is
// expected to happen.
const Timeout = time.Minute

// Host is an [adapter.Host] that records what it receives. Its rooms are what
// [Host.SetRoom] says.
type Host struct {
	node, tag, namespace string
	// OnReceive, if set before Start, is called with each message, after it was
	// recorded, on the adapter's goroutine.
	OnReceive func(m *adapter.Message)
	// Window is what RecoveryWindow returns; set it before Start.
	Window time.Duration

	losses, paced atomic.Int64

	mu      sync.Mutex // guards the fields below
	rooms   map[string]bool
	got     []*adapter.Message
	changed chan struct{} // closed and replaced when got grows
}

// NewHost makes a host. Its tag is made from the node's id.
func NewHost(node, namespace string) *Host {
	return &Host{
		node:      node,
		tag:       tagOf(node),
		namespace: namespace,
		rooms:     map[string]bool{},
		changed:   make(chan struct{}),
	}
}

// tagOf makes four characters of the end of the node's id.
func tagOf(node string) string {
	tag := strings.Map(func(r rune) rune {
		switch {
		case r >= '0' && r <= '9', r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r == '-', r == '_':
			return r
		}
		return -1
	}, "----"+node)
	return tag[len(tag)-4:]
}

// NodeID implements [adapter.Host].
func (h *Host) NodeID() string { return h.node }

// IDTag implements [adapter.Host].
func (h *Host) IDTag() string { return h.tag }

// Namespace implements [adapter.Host].
func (h *Host) Namespace() string { return h.namespace }

// HasRoom implements [adapter.Host].
func (h *Host) HasRoom(room string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rooms[room]
}

// SetRoom says whether a local socket is in room.
func (h *Host) SetRoom(room string, member bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if member {
		h.rooms[room] = true
	} else {
		delete(h.rooms, room)
	}
}

// Receive implements [adapter.Host].
func (h *Host) Receive(m *adapter.Message) {
	h.record(m)
	if h.OnReceive != nil {
		h.OnReceive(m)
	}
}

// RecoveryWindow implements [adapter.Host].
func (h *Host) RecoveryWindow() time.Duration { return h.Window }

// EventsLost implements [adapter.LossObserver].
func (h *Host) EventsLost() { h.losses.Add(1) }

// Pace implements [adapter.Pacer].
func (h *Host) Pace(bytes int) { h.paced.Add(int64(bytes)) }

// Paced is how many bytes Pace was told of.
func (h *Host) Paced() int { return int(h.paced.Load()) }

// Losses is how often EventsLost was called.
func (h *Host) Losses() int { return int(h.losses.Load()) }

func (h *Host) record(m *adapter.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.got = append(h.got, m)
	close(h.changed)
	h.changed = make(chan struct{})
}

// Messages returns what was received since the last Reset.
func (h *Host) Messages() []*adapter.Message {
	got, _ := h.snapshot()
	return got
}

// Reset forgets what was received.
func (h *Host) Reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.got = nil
}

func (h *Host) snapshot() ([]*adapter.Message, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.got[:len(h.got):len(h.got)], h.changed
}

// Await waits until at least n messages were received since the last Reset and
// returns all of them.
func (h *Host) Await(t testing.TB, n int) []*adapter.Message {
	t.Helper()
	return h.AwaitFunc(t, func(got []*adapter.Message) bool { return len(got) >= n })
}

// AwaitFunc waits until done says so and returns what was received until then.
func (h *Host) AwaitFunc(t testing.TB, done func(got []*adapter.Message) bool) []*adapter.Message {
	t.Helper()
	deadline := time.After(Timeout)
	for {
		got, changed := h.snapshot()
		if done(got) {
			return got
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("%s%s: waited in vain; got %d messages: %s", h.node, h.namespace, len(got), describe(got))
		}
	}
}

// AwaitMessage waits for a message that match accepts and returns it.
func (h *Host) AwaitMessage(t testing.TB, match func(*adapter.Message) bool) *adapter.Message {
	t.Helper()
	var found *adapter.Message
	h.AwaitFunc(t, func(got []*adapter.Message) bool {
		for _, m := range got {
			if match(m) {
				found = m
				return true
			}
		}
		return false
	})
	return found
}

// describe shows the last messages for an error text.
func describe(got []*adapter.Message) string {
	var b strings.Builder
	if len(got) > 5 {
		b.WriteString("... ")
		got = got[len(got)-5:]
	}
	for _, m := range got {
		b.WriteString(Text(m))
		b.WriteByte(' ')
	}
	return b.String()
}

// Text is the kind of m with its payload, for tests.
func Text(m *adapter.Message) string {
	return kindName(m.Kind) + string(m.Packet.Data)
}

func kindName(k adapter.Kind) string {
	names := []string{
		"none", "Broadcast", "Join", "Leave", "Disconnect", "FetchSockets", "FetchReply", "ServerEvent", "ServerReply",
		"ClientCount", "ClientAck", "FetchIDs", "FetchIDsReply", "FetchRooms", "FetchRoomsReply",
	}
	if int(k) < len(names) {
		return names[k]
	}
	return "unknown"
}

// Eventually waits until cond is true, looking again and again.
func Eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(Timeout)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for: %s", what)
		}
		<-tick.C
	}
}
