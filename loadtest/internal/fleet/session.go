package fleet

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/fanwire/fanwire/client"
	"github.com/fanwire/fanwire/loadtest/internal/meter"
	"github.com/fanwire/fanwire/loadtest/internal/plan"
	"github.com/fanwire/fanwire/protocol/msgpack"
)

// Session is one client.
type Session struct {
	// Static.
	Index     int
	Transport string // as the plan wants it
	Socket    *client.Socket
	Data      any // the caller's; to be set before Reach
	fleet     *Fleet
	client    *client.Client
	target    int

	up      atomic.Bool
	leaving atomic.Bool // what ends it is our wish
	trying  atomic.Bool // its first attempt holds a token
	node    atomic.Int32
	began   atomic.Int64 // the attempt; µs
	lost    atomic.Int64 // the connection, and it is not back yet; µs, 0: not
	opened  atomic.Int64 // the session that is there; µs
}

func (f *Fleet) newSession(i int) (*Session, error) {
	s := &Session{Index: i, Transport: f.plan.Transport.Of(i), fleet: f, target: (i + f.plan.Part) % len(f.plan.URLs)}
	s.node.Store(-1)
	c, err := client.New(f.address(s.target), f.options(i, s.Transport))
	if err != nil {
		return nil, err
	}
	s.client, s.Socket = c, c.Of(f.plan.Namespace)
	s.Socket.SetAuthFunc(func(context.Context) (any, error) {
		if f.hooks.Asking != nil {
			f.hooks.Asking(s)
		}
		return f.plan.Auth, nil
	})
	c.OnOpen(func() { // before anything is read, and before the upgrade begins
		s.opened.Store(f.Micros())
		f.hooks.Latency(s, meter.Handshake, s.opened.Load()-s.began.Load())
	})
	if s.Transport == plan.Upgrade {
		c.OnUpgrade(func(string) { f.hooks.Latency(s, meter.Upgrade, f.Micros()-s.opened.Load()) })
	}
	c.OnReconnectAttempt(func(int) { s.attempt() })
	s.Socket.OnConnect(s.connected)
	s.Socket.OnDisconnect(s.disconnected)
	s.Socket.OnConnectError(s.failed)
	if f.hooks.Event != nil {
		s.Socket.OnRaw(func(e *client.RawEvent) bool { return f.hooks.Event(s, e) })
	}
	return s, nil
}

// address of a target, with the namespace.
func (f *Fleet) address(target int) string {
	u, err := url.Parse(f.plan.URLs[target])
	if err != nil {
		return f.plan.URLs[target] // package client says what is wrong
	}
	u.Path = f.plan.Namespace
	return u.String()
}

// options of a client that uses a transport.
func (f *Fleet) options(i int, transport string) client.Options {
	p := f.plan
	o := client.Options{
		Path: p.Path, NoCookies: !p.Cookies, Auth: p.Auth, Header: make(http.Header),
		ConnectTimeout: p.Timeout.D(), CloseTimeout: time.Second, SendQueue: 8 << 20,
		DialContext: f.dials[i%len(f.dials)], Logger: slog.New(slog.DiscardHandler),
	}
	for name, value := range p.Headers {
		o.Header.Set(name, value)
	}
	switch transport {
	case plan.WebSocket:
		o.Transports = []string{client.WebSocket}
	case plan.Polling:
		o.Transports, o.NoUpgrade = []string{client.Polling}, true
	}
	if p.Insecure {
		o.TLS = &tls.Config{InsecureSkipVerify: true} // the user asked for it
	}
	if p.Parser == "msgpack" {
		o.Parser = msgpack.Parser
	}
	return o
}

// first connects the session; a token was taken for it.
func (s *Session) first() {
	s.trying.Store(true)
	time.AfterFunc(2*s.fleet.plan.Timeout.D(), s.settle) // a server that never answers
	s.Open()
}

// settle gives the token back.
func (s *Session) settle() {
	if s.trying.Swap(false) {
		<-s.fleet.tokens
	}
}

// Open connects the session, again if it has left before.
func (s *Session) Open() {
	s.leaving.Store(false)
	s.attempt()
	s.Socket.Open()
}

func (s *Session) attempt() {
	s.began.Store(s.fleet.Micros())
	s.fleet.Attempts.Add(1)
	s.fleet.mu.Lock()
	s.fleet.byURL[s.target]++
	s.fleet.mu.Unlock()
}

// Leave disconnects the session in an orderly way, for good unless it is opened again.
func (s *Session) Leave() {
	s.leaving.Store(true)
	s.Socket.Disconnect()
}

// Drop breaks the connection. The client restores it.
func (s *Session) Drop() {
	if s.up.Load() {
		s.leaving.Store(true)
		s.client.Drop()
	}
}

// Leaving tells whether the end of the last connection was our wish.
func (s *Session) Leaving() bool { return s.leaving.Load() }

// Up tells whether the session is connected.
func (s *Session) Up() bool { return s.up.Load() }

// Node that serves the session, or served it last; -1 if that is not known.
func (s *Session) Node() int32 { return s.node.Load() }

func (s *Session) connected(context.Context) {
	f, now := s.fleet, s.fleet.Micros()
	f.hooks.Latency(s, meter.Connect, now-s.began.Load())
	if lost := s.lost.Swap(0); lost != 0 {
		f.Reconnected.Add(1)
		f.hooks.Latency(s, meter.Reconnect, now-lost)
		if s.Socket.Recovered() {
			f.Recovered.Add(1)
		}
	}
	s.leaving.Store(false)
	s.node.Store(f.node(s.client.SID(), s.target))
	s.up.Store(true)
	f.Connected.Add(1)
	if n := f.Now.Add(1); n > f.Peak.Load() {
		f.Peak.Store(n) // nearly: two that meet here differ by one
	}
	if f.hooks.Up != nil {
		f.hooks.Up(s)
	}
	s.settle()
}

func (s *Session) disconnected(_ context.Context, d client.Disconnect) {
	f := s.fleet
	s.up.Store(false)
	f.Now.Add(-1)
	if d.Reason != client.ReasonClient {
		s.lost.Store(f.Micros())
	}
	ours := d.Reason == client.ReasonClient || d.Reason == client.ReasonForcedClose // we may wish otherwise by now
	if !ours && !s.leaving.Load() {
		f.Disconnected.Add(1)
		f.Count("disconnected: " + d.Reason)
	}
	if f.hooks.Down != nil {
		f.hooks.Down(s)
	}
}

func (s *Session) failed(_ context.Context, err error) {
	if !s.leaving.Load() || s.lost.Load() != 0 {
		s.fleet.Failed.Add(1)
		s.fleet.Count("connect: " + reason(err))
	}
	if s.fleet.hooks.Refused != nil {
		s.fleet.hooks.Refused(s)
	}
	s.settle()
}
