package client

import (
	"slices"
	"sync"
	"sync/atomic"
)

// hooks are the client's own: what the official client calls the events of the
// manager and of the engine.
type hooks struct {
	open           hook[none]
	close          hook[Disconnect]
	err            hook[error]
	attempt        hook[int]
	reconnect      hook[int]
	reconnectError hook[error]
	failed         hook[error]
	ping           hook[none]
	upgrade        hook[string]
	upgradeError   hook[error]
	packet         hook[EnginePacket]
	watched        atomic.Bool // one of the last four has been used: connections are to tell of them
}

type none struct{}

// hook is a list of functions that is replaced when it changes.
type hook[T any] struct {
	mu   sync.Mutex // serialises changes
	list atomic.Pointer[[]*func(T)]
}

func (h *hook[T]) all() []*func(T) {
	if l := h.list.Load(); l != nil {
		return *l
	}
	return nil
}

func (h *hook[T]) add(f func(T)) (remove func()) {
	p := &f
	h.change(func(l []*func(T)) []*func(T) { return append(slices.Clip(l), p) })
	return func() {
		h.change(func(l []*func(T)) []*func(T) { return without(l, p) })
	}
}

func (h *hook[T]) change(f func([]*func(T)) []*func(T)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := f(h.all())
	h.list.Store(&l)
}

func call[T any](fs []*func(T), v T) {
	for _, f := range fs {
		(*f)(v)
	}
}

// OnOpen registers what is called when a connection has been made, before the
// server has accepted any socket. This and the other functions of a Client are
// called by its own goroutines, one after the other unless they say otherwise.
// They must not block, and may use Open, Disconnect and Emit. The returned
// function removes what was registered.
func (c *Client) OnOpen(f func()) (remove func()) {
	return c.hooks.open.add(func(none) { f() })
}

// OnClose registers what is called when a connection has ended, for whichever
// reason.
func (c *Client) OnClose(f func(d Disconnect)) (remove func()) { return c.hooks.close.add(f) }

// OnTransportError registers what is called when a connection could not be made, or
// was lost by an error (ReasonTransportError).
func (c *Client) OnTransportError(f func(err error)) (remove func()) { return c.hooks.err.add(f) }

// OnReconnectAttempt registers what is called before each attempt to restore the
// connection; n counts from 1.
func (c *Client) OnReconnectAttempt(f func(n int)) (remove func()) { return c.hooks.attempt.add(f) }

// OnReconnect registers what is called when attempt n has restored the
// connection, after OnOpen.
func (c *Client) OnReconnect(f func(n int)) (remove func()) { return c.hooks.reconnect.add(f) }

// OnReconnectError registers what is called when an attempt to restore the
// connection has failed.
func (c *Client) OnReconnectError(f func(err error)) (remove func()) {
	return c.hooks.reconnectError.add(f)
}

// OnReconnectFailed registers what is called when Reconnect.Attempts have failed.
func (c *Client) OnReconnectFailed(f func(err error)) (remove func()) { return c.hooks.failed.add(f) }

// OnPing registers what is called when the server has pinged, and has been
// answered. Connections that exist already do not tell.
func (c *Client) OnPing(f func()) (remove func()) {
	c.hooks.watched.Store(true)
	return c.hooks.ping.add(func(none) { f() })
}

// OnUpgrade registers what is called when a connection has left polling for the
// named transport. Connections that exist already do not tell.
func (c *Client) OnUpgrade(f func(transport string)) (remove func()) {
	c.hooks.watched.Store(true)
	return c.hooks.upgrade.add(f)
}

// OnUpgradeError registers what is called when that did not work: the session
// goes on with polling. It may be called while another function is. Connections that exist
// already do not tell.
func (c *Client) OnUpgradeError(f func(err error)) (remove func()) {
	c.hooks.watched.Store(true)
	return c.hooks.upgradeError.add(f)
}

// EnginePacket is a packet of Engine.IO.
type EnginePacket struct {
	Sent   bool   // else received
	Binary bool   // Data is a message
	Data   []byte // otherwise text: the packet's type, then its data; valid until the function returns
}

// OnPacket registers what is called with each packet after the handshake, for
// debugging: they hold what users say, and secrets. It is called for received
// and for sent ones at the same time. Connections that exist already do not tell.
func (c *Client) OnPacket(f func(p EnginePacket)) (remove func()) {
	c.hooks.watched.Store(true)
	return c.hooks.packet.add(f)
}

// observer tells the hooks of what a connection does.
type observer struct{ client *Client }

func (o observer) Packet(sent bool, data []byte, binary bool) {
	call(o.client.hooks.packet.all(), EnginePacket{sent, binary, data})
}

func (o observer) Ping() { call(o.client.hooks.ping.all(), none{}) }

func (o observer) Upgraded(transport string) { call(o.client.hooks.upgrade.all(), transport) }

func (o observer) UpgradeFailed(err error) { call(o.client.hooks.upgradeError.all(), public(err)) }
