package main

import (
	"testing"

	"github.com/fanwire/fanwire/adapter"
	gateway "github.com/fanwire/fanwire/internal/gateway/loadtest"
	"github.com/fanwire/fanwire/loadtest/internal/result"
	"github.com/fanwire/fanwire/node"
)

// gateways are nodes of a cluster with the server's side that the gateway has.
func gateways(t *testing.T, n int) []*server {
	t.Helper()
	hub := new(adapter.Hub)
	all := make([]*server, n)
	for i := range all {
		all[i] = serve(t, node.Config{Adapter: hub.Factory, NodeID: string(rune('a' + i))}, func(_ *server, ns *node.Namespace) { gateway.Mount(ns) })
	}
	for _, s := range all {
		if err := s.node.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// Without rooms all who are connected are the receivers, on all nodes.
func TestEverybody(t *testing.T) {
	for name, nodes := range map[string][]*server{"ours": cluster(t, 2), "gateway": gateways(t, 2)} {
		t.Run(name, func(t *testing.T) {
			d := measure(t, with(nodes[0].url, "fanout", "--url="+nodes[1].url, "--rooms=0", "--clients=12", "--rate=40/s", "--publishers=3", "--binary=20%", "--transport=websocket=1,polling=1,upgrade=1")...)
			m := d.Messages
			if m.Sent == 0 || m.Lost != 0 || m.Excused != 0 || m.Duplicated != 0 || m.OutOfOrder != 0 || m.Unexpected != 0 || m.Delivered != 12*m.Sent {
				t.Errorf("%+v", m)
			}
			if same, cross := d.Latencies[result.SameNode].Count, d.Latencies[result.CrossNode].Count; same != cross || same+cross != m.Delivered {
				t.Errorf("%d on the same node, %d on the other", same, cross)
			}
			d = measure(t, with(nodes[0].url, "fanout", "--rooms=0", "--clients=5", "--in-flight=2")...)
			if m := d.Messages; m.Sent < 3 || m.Lost != 0 || m.Delivered != 5*m.Sent {
				t.Errorf("closed loop: %+v", m)
			}
		})
	}
}

// Who comes, goes and comes back is not there in between, and nobody loses a message by
// it.
func TestEverybodyChanges(t *testing.T) {
	nodes := gateways(t, 2)
	for name, args := range map[string][]string{
		"churn":  {"churn", "--clients=16", "--joins=0", "--reconnects=20/s", "--away=500ms", "--duration=3s"},
		"storm":  {"storm", "--clients=16", "--after=200ms", "--duration=3s"},
		"stages": {"fanout", "--stages=500ms:4,500ms:16,500ms:16,500ms:3"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append(args, "--url="+nodes[1].url, "--rooms=0", "--rate=100/s", "--transport=websocket=1,polling=1,upgrade=1")
			d := measure(t, with(nodes[0].url, args...)...)
			m := d.Messages
			if m.Lost != 0 || m.Duplicated != 0 || m.OutOfOrder != 0 || m.Unexpected != 0 || m.Expected != m.Delivered+m.Excused || m.Delivered == 0 {
				t.Errorf("%+v", m)
			}
			if m.Expected >= 16*m.Sent && name == "stages" || m.Expected > 16*m.Sent {
				t.Errorf("%d expected of %d messages, as if all had always been there", m.Expected, m.Sent)
			}
		})
	}
}
