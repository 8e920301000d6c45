package adaptertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fanwire/fanwire/adapter"
)

// Cluster makes nodes that can hear each other. Run asks for a new one for each
// test.
type Cluster struct {
	// Factory returns the factory for one more node. It may return the same one
	// each time if the adapter can tell nodes apart by [adapter.Host.NodeID].
	Factory func(t *testing.T) adapter.Factory
	// LooseIDs says that messages to the id of a socket may overtake others.
	// miniredis is such a broker: it sends what matches a pattern and what matches
	// a channel from two goroutines. With Redis itself order is kept.
	LooseIDs bool
	// ManualTime says that what has a time to live in the broker lives on, as in
	// miniredis.
	ManualTime bool
	// LooseRooms says that order holds among messages for the same rooms only. A
	// Redis Cluster is such a broker for sharded channels, which are on different
	// servers (CLU-H-11).
	LooseRooms bool
	// Everywhere says that nodes hear what is for rooms that they do not hold.
	Everywhere bool
}

// sorted returns messages by the numbers in their payloads if the order of rooms
// cannot be relied on.
func (c Cluster) sorted(got []*adapter.Message) []*adapter.Message {
	if !c.LooseRooms {
		return got
	}
	return slices.SortedStableFunc(slices.Values(got), func(a, b *adapter.Message) int { return numberOf(a) - numberOf(b) })
}

// numberOf returns the number in the payload ["e",number].
func numberOf(m *adapter.Message) int {
	digits := strings.TrimFunc(string(m.Packet.Data), func(r rune) bool { return r < '0' || r > '9' })
	n, _ := strconv.Atoi(digits)
	return n
}

// payloads returns the payloads of messages in their order, or sorted if that
// cannot be relied on.
func (c Cluster) payloads(got []*adapter.Message) []string {
	list := make([]string, len(got))
	for i, m := range got {
		list[i] = string(m.Packet.Data)
	}
	if c.LooseIDs || c.LooseRooms {
		slices.Sort(list)
	}
	return list
}

// node starts a node's adapter for namespace "/".
func (c Cluster) node(t *testing.T, id string) *Node {
	t.Helper()
	return Start(t, c.Factory(t), id, "/")
}

// Run tests an adapter.
func Run(t *testing.T, newCluster func(t *testing.T) Cluster) {
	tests := []struct {
		name string
		run  func(*testing.T, Cluster)
	}{
		{"Broadcast", testBroadcast},
		{"Order", testOrder},
		{"OrderOfConcurrentPublishers", testConcurrentPublish},
		{"Payloads", testPayloads},
		{"Targets", testTargets},
		{"Trace", testTrace},
		{"Namespaces", testNamespaces},
		{"Commands", testCommands},
		{"Requests", testRequests},
		{"RequestWithoutAnswer", testServerEvent},
		{"ServerCount", testServerCount},
		{"Evict", testEvict},
		{"Roster", testRoster},
		{"Directory", testDirectory},
		{"SelectiveRooms", testSelectiveRooms},
		{"RoomNames", testRoomNames},
		{"JoinIsVisible", testJoinIsVisible},
		{"RoomComesAndGoes", testRoomComesAndGoes},
		{"NothingBeforeStart", testNothingBeforeStart},
		{"CloseWaits", testCloseWaits},
		{"CloseHandsOut", testCloseHandsOut},
		{"Closed", testClosed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			NoLeaks(t)
			tt.run(t, newCluster(t))
		})
	}
}

// NoLeaks fails the test if goroutines are left that were not there before,
// once everything that the test cleans up later is gone. They may take their time:
// those of go-redis dial a dead server, or rest after a look at a cluster.
func NoLeaks(t *testing.T) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		err := goleak.Find(before)
		for end := time.Now().Add(Timeout); err != nil && time.Now().Before(end); {
			err = goleak.Find(before)
		}
		if err != nil {
			t.Error(err)
		}
	})
}

// sameMessage compares what was sent with what arrived, as far as the contract
// goes: From is the adapter's business, JSON may be written differently.
func sameMessage(sent, got *adapter.Message) error {
	s, g := *sent, *got
	s.From, g.From = "", ""
	if err := samePayload(s.Packet, g.Packet); err != nil {
		return err
	}
	if err := sameSockets(s.Sockets, g.Sockets); err != nil {
		return err
	}
	s.Packet, g.Packet = adapter.Payload{}, adapter.Payload{}
	s.Sockets, g.Sockets = nil, nil
	if !reflect.DeepEqual(normal(s), normal(g)) {
		return fmt.Errorf("sent %+v, got %+v", s, g)
	}
	return nil
}

// normal turns empty slices into nil ones.
func normal(m adapter.Message) adapter.Message {
	for _, list := range []*[]string{&m.Target.Rooms, &m.Target.Except, &m.Names} {
		if len(*list) == 0 {
			*list = nil
		}
	}
	return m
}

func samePayload(sent, got adapter.Payload) error {
	if err := sameJSON(sent.Data, got.Data); err != nil {
		return err
	}
	if len(sent.Attachments) != len(got.Attachments) {
		return fmt.Errorf("sent %d attachments, got %d", len(sent.Attachments), len(got.Attachments))
	}
	for i, a := range sent.Attachments {
		if !bytes.Equal(a, got.Attachments[i]) {
			return fmt.Errorf("attachment %d: sent %x, got %x", i, a, got.Attachments[i])
		}
	}
	return nil
}

func sameSockets(sent, got []adapter.SocketInfo) error {
	if len(sent) != len(got) {
		return fmt.Errorf("sent %d sockets, got %d", len(sent), len(got))
	}
	for i, s := range sent {
		g := got[i]
		if s.ID != g.ID || !reflect.DeepEqual(s.Rooms, g.Rooms) {
			return fmt.Errorf("sent socket %v, got %v", s, g)
		}
		if err := sameJSON(s.Handshake, g.Handshake); err != nil {
			return fmt.Errorf("handshake: %w", err)
		}
		if err := sameJSON(s.Data, g.Data); err != nil {
			return fmt.Errorf("data: %w", err)
		}
	}
	return nil
}

// sameJSON compares two JSON texts by value, numbers by their digits.
func sameJSON(a, b []byte) error {
	if len(a) == 0 && len(b) == 0 {
		return nil
	}
	var va, vb any
	if err := decode(a, &va); err != nil {
		return fmt.Errorf("sent %q: %w", a, err)
	}
	if err := decode(b, &vb); err != nil {
		return fmt.Errorf("got %q: %w", b, err)
	}
	if !reflect.DeepEqual(va, vb) {
		return fmt.Errorf("sent %s, got %s", a, b)
	}
	return nil
}

func decode(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return d.Decode(v)
}
