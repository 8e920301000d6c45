//go:build faults

package faults

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fanwire/fanwire/client"
)

// guest is a client: it receives for the ledger, and publishes to its room.
type guest struct {
	*receiver
	room   int
	socket *client.Socket
	home   string // node it was sent to; "" behind a balancer

	connects, recovered, fresh atomic.Int64 // fresh: connected anew, with nothing kept
	left                       atomic.Int64 // disconnects
	before                     int64        // left, at some moment; the test's
	why                        atomic.Value // reason of the last one
	at                         atomic.Int64 // when it connected last, in ns
	stream                     streamID
	session                    atomic.Int64 // changes when an ack can no longer come
	ready                      chan struct{}
}

// options of the clients of a rig.
func guestOptions(transport string) client.Options {
	o := client.Options{
		Transports:     []string{transport},
		ConnectTimeout: 10 * time.Second,
		Logger:         slog.New(slog.DiscardHandler),
		Reconnect:      client.ReconnectOptions{Delay: 100 * time.Millisecond, DelayMax: time.Second},
	}
	return o
}

// newGuestOf makes a guest without a connection.
func newGuestOf(l *ledger, name string, room int, home string) *guest {
	return &guest{receiver: newReceiver(l, name), room: room, home: home, stream: streamID{name, room}, ready: make(chan struct{}, 1)}
}

// newGuest opens a client and returns when it is in its room.
func newGuest(ctx context.Context, l *ledger, i, room int, url, home string, o client.Options) (*guest, error) {
	g := newGuestOf(l, fmt.Sprintf("c%d", i), room, home)
	s, err := client.Dial(ctx, url, o, g.setUp)
	if err != nil {
		return nil, fmt.Errorf("client %d: %w", i, err)
	}
	g.socket = s
	select {
	case <-g.ready:
	case <-ctx.Done():
		return nil, fmt.Errorf("client %d: join: %w", i, context.Cause(ctx))
	}
	l.join(g.receiver, room)
	return g, nil
}

// setUp registers the handlers. They run one at a time.
func (g *guest) setUp(s *client.Socket) {
	client.On(s, "ev", func(_ context.Context, text string) {
		if e, err := parseEvent(text); err == nil {
			g.receive(e)
		}
	})
	s.OnConnect(func(ctx context.Context) {
		sid := s.Client().SID()
		if g.home == "" && !strings.Contains(sid, ".") { // an official server
			who, _ := client.Call[struct{ Node string }](ctx, s, "whoami")
			sid = "." + who.Node
		}
		if g.connected(sid, s.Recovered()) {
			return
		}
		if _, err := client.Call[client.None](ctx, s, "join", []string{fmt.Sprintf("r%d", g.room)}); err == nil {
			g.joined()
		}
	})
	s.OnDisconnect(func(_ context.Context, d client.Disconnect) { g.lost(d.Reason) })
}

// connected notes a connection and tells whether the rooms are there.
func (g *guest) connected(sid string, recovered bool) bool {
	node := g.home
	if at := strings.LastIndexByte(sid, '.'); at >= 0 {
		node = sid[at+1:]
	}
	g.mu.Lock()
	g.node = node
	g.visited = append(g.visited, node)
	g.mu.Unlock()
	g.at.Store(time.Now().UnixNano())
	if recovered {
		g.recovered.Add(1)
	} else if g.connects.Load() > 0 {
		g.fresh.Add(1)
	}
	g.connects.Add(1)
	return recovered
}

func (g *guest) joined() {
	select {
	case g.ready <- struct{}{}:
	default:
	}
}

func (g *guest) lost(reason string) {
	g.session.Add(1)
	g.left.Add(1)
	g.why.Store(reason)
}

type target struct {
	From string   `json:"from"`
	To   []string `json:"to"`
}

// publish sends one event to the guest's room through its node.
func (g *guest) publish(ctx context.Context) {
	if g.socket == nil || !g.socket.Connected() {
		return
	}
	n, text := g.ledger.send(g.stream, g.place(), g)
	_ = g.socket.EmitAck(ctx, "emit", func(_ client.Args, err error) {
		if err == nil {
			g.ledger.confirm(g.stream, n)
		}
	}, target{From: "io", To: []string{fmt.Sprintf("r%d", g.room)}}, "ev", text)
}

func (g *guest) close() { g.socket.Client().Close() }
