package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/internal/args"
)

// Join makes the selected sockets join rooms. It does not wait for other nodes.
// Sockets that would be in too many rooms stay out.
func (b Broadcast) Join(ctx context.Context, rooms ...string) error {
	for _, name := range rooms {
		if !validRoom(name, b.limits().RoomName) {
			return fmt.Errorf("%w: %.200q", ErrRoomName, name)
		}
	}
	return b.command(ctx, adapter.Message{Kind: adapter.Join, Names: rooms})
}

// Leave makes the selected sockets leave rooms. It does not wait for other
// nodes.
func (b Broadcast) Leave(ctx context.Context, rooms ...string) error {
	return b.command(ctx, adapter.Message{Kind: adapter.Leave, Names: rooms})
}

// Disconnect ends the selected sockets as [Socket.Disconnect] does. It does not
// wait for other nodes.
func (b Broadcast) Disconnect(ctx context.Context, closeSession bool) error {
	return b.command(ctx, adapter.Message{Kind: adapter.Disconnect, Close: closeSession})
}

func (b *Broadcast) limits() *Limits {
	if b.pattern != nil {
		return &b.pattern.srv.cfg.Limits
	}
	return &b.ns.srv.cfg.Limits
}

// command does to the selected sockets what m says, here and on other nodes. If
// those cannot be told it is done here all the same.
func (b *Broadcast) command(ctx context.Context, m adapter.Message) error {
	m.Target = b.target()
	var first error
	for ns := range b.namespaces {
		m := m
		if !b.local && ns.adapter != nil {
			ns.started(ctx)
			if _, err := ns.publish(ctx, &m); err != nil && first == nil {
				first = fmt.Errorf("node: publish: %w", err)
			}
		}
		ns.obey(&m, ns.recipients(m.Target.Rooms, m.Target.Except, ""))
	}
	return first
}

// Sockets yields the selected sockets: first those of this node, then those of
// the others as their answers come. It waits until all nodes that live have
// answered, at most until the context's deadline, without one for
// [Config.RequestTimeout]. If some have not, or the others cannot be asked, the
// last pair is a [*PartialError].
func (b Broadcast) Sockets(ctx context.Context) iter.Seq2[RemoteSocket, error] {
	return func(yield func(RemoteSocket, error) bool) {
		for ns := range b.namespaces {
			if !ns.fetch(ctx, &b, yield) {
				return
			}
		}
	}
}

func (ns *Namespace) fetch(ctx context.Context, b *Broadcast, yield func(RemoteSocket, error) bool) bool {
	ctx, cancel := withDefaultTimeout(ctx, ns.srv.cfg.RequestTimeout)
	defer cancel()
	target := b.target()
	for _, s := range ns.local(&target) {
		if !yield(RemoteSocket{ns: ns, local: s}, nil) {
			return false
		}
	}
	if b.local || ns.adapter == nil {
		return true
	}
	detach(ctx)
	req := newRequest()
	defer ns.requests.remove(req)
	ns.ask(ctx, req, &adapter.Message{Kind: adapter.FetchSockets, Target: target})
	for m, err := range req.all(ctx, "fetch sockets") {
		if err != nil {
			return yield(RemoteSocket{}, err)
		}
		for i := range m.Sockets {
			if !yield(RemoteSocket{ns: ns, info: m.Sockets[i]}, nil) {
				return false
			}
		}
	}
	return true
}

// local returns the connected sockets of this node that a target means.
func (ns *Namespace) local(t *adapter.Target) []*Socket {
	var list []*Socket
	ns.eachReady(t, func(s *Socket) { list = append(list, s) })
	return list
}

// Sockets yields all sockets of the namespace or pattern; see
// [Broadcast.Sockets].
func (c *caster) Sockets(ctx context.Context) iter.Seq2[RemoteSocket, error] {
	return c.all.Sockets(ctx)
}

// Join makes all sockets join rooms; see [Broadcast.Join].
func (c *caster) Join(ctx context.Context, rooms ...string) error { return c.all.Join(ctx, rooms...) }

// Leave makes all sockets leave rooms; see [Broadcast.Leave].
func (c *caster) Leave(ctx context.Context, rooms ...string) error { return c.all.Leave(ctx, rooms...) }

// Disconnect ends all sockets; see [Broadcast.Disconnect].
func (c *caster) Disconnect(ctx context.Context, closeSession bool) error {
	return c.all.Disconnect(ctx, closeSession)
}

// CallAll sends an event to the selected sockets and yields their answers as
// they come, each read as an R from the first argument of the client's ack. It
// waits until the context's deadline, without one for [Config.AckTimeout]. If
// some have not answered by then the last pair is a [*PartialError]. An answer
// that is no R is an error of its own; the others follow.
//
// All nodes tell how many recipients they have; one that disconnects before it
// answers still counts (SIO-A-08). The clients of a node that dies are not awaited
// any longer, unless it is one without a known name.
func CallAll[R any](ctx context.Context, b Broadcast, event string, values ...any) iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		for a, err := range b.callAll(ctx, event, values) {
			var r R
			if err == nil {
				if r, err = args.Decode[R](a); err != nil {
					err = fmt.Errorf("node: ack of %.200q: %w", event, err)
				}
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

func (b Broadcast) callAll(ctx context.Context, event string, values []any) iter.Seq2[Args, error] {
	return func(yield func(Args, error) bool) {
		sc := getScratch()
		defer sc.put()
		if err := sc.appendEvent(event, values); err != nil {
			yield(Args{}, err)
			return
		}
		for ns := range b.namespaces {
			if !ns.callAll(ctx, &b, sc, yield) {
				return
			}
		}
	}
}

// callAll delivers to this node's clients first: they need not wait for the
// broker to count the nodes.
func (ns *Namespace) callAll(ctx context.Context, b *Broadcast, sc *scratch, yield func(Args, error) bool) bool {
	ctx, cancel := withDefaultTimeout(ctx, ns.srv.cfg.AckTimeout)
	defer cancel()
	id := ns.nextAck()
	p, payload, err := ns.encode(sc.buf, sc.atts, sendOptions{ack: id, asks: true, noCompress: b.noCompress})
	if err == nil && !b.local && ns.adapter != nil && payload.Size() > ns.srv.cfg.Limits.PublishBytes {
		err = fmt.Errorf("%w: %d bytes", ErrTooLarge, payload.Size())
	}
	if err != nil {
		return yield(Args{}, err)
	}
	detach(ctx)
	req := newRequest()
	r := b.recipients(ns)
	c, want := newCollector(&r, func(p adapter.Payload) {
		req.put(&adapter.Message{Kind: adapter.ClientAck, From: hereName, Packet: p})
	})
	req.who.calls, req.who.here, req.who.want = true, want, want
	ns.pending.add(id, c)
	defer ns.pending.remove(id)
	defer ns.requests.remove(req)
	ns.deliverAsking(r, p, &payload, b.volatile)
	if !b.local {
		ns.ask(ctx, req, &adapter.Message{Kind: adapter.Broadcast, Target: b.target(), Packet: payload})
	}
	for m, err := range req.all(ctx, "call") { // SIO-A-03
		switch {
		case err != nil:
			return yield(Args{}, err)
		case m.Kind == adapter.ClientAck && !yield(args.Make(m.Packet.Data, m.Packet.Attachments), nil):
			return false
		}
	}
	return true
}

// ServerEmit sends an event to the other nodes, where the handlers that
// [OnServer] and [HandleServer] have registered for the namespace take it. It does
// not wait for them.
func (ns *Namespace) ServerEmit(ctx context.Context, event string, values ...any) error {
	m, err := ns.serverMessage(event, values)
	if err != nil || ns.adapter == nil {
		return err
	}
	ns.started(ctx)
	if _, err := ns.publish(ctx, m); err != nil {
		return fmt.Errorf("node: publish: %w", err)
	}
	return nil
}

func (ns *Namespace) serverMessage(event string, values []any) (*adapter.Message, error) {
	if reservedServerEvent(event) {
		return nil, fmt.Errorf("%w: %q", ErrReservedEvent, event)
	}
	sc := &scratch{} // the message keeps it
	if err := sc.appendEvent(event, values); err != nil {
		return nil, err
	}
	m := &adapter.Message{Kind: adapter.ServerEvent, Packet: adapter.Payload{Data: sc.buf, Attachments: sc.atts}}
	if n := m.Packet.Size(); n > ns.srv.cfg.Limits.PublishBytes {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, n)
	}
	return m, nil
}

// reservedServerEvent applies SIO-K-14.
func reservedServerEvent(event string) bool {
	return event == "connect" || event == "connection" || event == "new_namespace"
}

// CallServers sends an event to the other nodes of the namespace, as
// [Namespace.ServerEmit], and yields their answers as they come, one from each.
// It waits until all that live have answered, at most until the context's
// deadline, without one for [Config.RequestTimeout]. If some have not the last
// pair is a [*PartialError].
func CallServers[R any](ctx context.Context, ns *Namespace, event string, values ...any) iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		for a, err := range ns.callServers(ctx, event, values) {
			var r R
			if err == nil {
				r, err = args.Decode[R](a)
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

func (ns *Namespace) callServers(ctx context.Context, event string, values []any) iter.Seq2[Args, error] {
	return func(yield func(Args, error) bool) {
		m, err := ns.serverMessage(event, values)
		if err != nil {
			yield(Args{}, err)
			return
		}
		ctx, cancel := withDefaultTimeout(ctx, ns.srv.cfg.RequestTimeout)
		defer cancel()
		detach(ctx)
		req := newRequest()
		defer ns.requests.remove(req)
		ns.ask(ctx, req, m)
		for m, err := range req.all(ctx, "server event") {
			var a Args
			if err == nil {
				a = args.Make(m.Packet.Data, m.Packet.Attachments)
			}
			if !yield(a, err) {
				return
			}
		}
	}
}

// RemoteSocket is a socket of any node, as it was when its node told of it. It is
// a value.
type RemoteSocket struct {
	ns    *Namespace
	local *Socket // nil if another node has it
	info  adapter.SocketInfo
}

// ID returns the public id.
func (r RemoteSocket) ID() string {
	if r.local != nil {
		return r.local.id
	}
	return r.info.ID
}

// Local returns the socket itself if this node has it.
func (r RemoteSocket) Local() (*Socket, bool) { return r.local, r.local != nil }

// Rooms returns the names of its rooms. The slice must not be changed.
func (r RemoteSocket) Rooms() []string {
	if r.local != nil {
		return r.local.Rooms()
	}
	return r.info.Rooms
}

// Handshake returns its handshake, as far as its node tells of it.
func (r RemoteSocket) Handshake() Handshake {
	if r.local != nil {
		return r.local.Handshake()
	}
	return parseHandshake(r.info.Handshake)
}

// ClientID is [Socket.ClientID]; "" for a socket of an official node.
func (r RemoteSocket) ClientID() string {
	if r.local != nil {
		return r.local.ClientID()
	}
	id, _ := parseConnection(r.info.Handshake)
	return id
}

// Transport is [Socket.Transport] at the time when the socket's node told of it; ""
// for a socket of an official node.
func (r RemoteSocket) Transport() string {
	if r.local != nil {
		return r.local.Transport()
	}
	_, transport := parseConnection(r.info.Handshake)
	return transport
}

// Data stores what [Socket.SetData] kept, having become JSON on its way, in the
// value that v points to, which it leaves alone if there is nothing.
func (r RemoteSocket) Data(v any) error {
	data := r.info.Data
	if r.local != nil {
		data = r.local.jsonData()
	}
	if len(data) == 0 {
		return nil
	}
	return json.Unmarshal(data, v)
}

// all selects the socket, wherever it is.
func (r RemoteSocket) all() Broadcast { return r.ns.To(r.ID()) }

// Emit sends it an event; see [Broadcast.Emit].
func (r RemoteSocket) Emit(ctx context.Context, event string, values ...any) error {
	if r.local != nil {
		return r.local.Emit(ctx, event, values...)
	}
	return r.all().Emit(ctx, event, values...)
}

// Join makes it join rooms; see [Broadcast.Join].
func (r RemoteSocket) Join(ctx context.Context, rooms ...string) error {
	return r.all().Join(ctx, rooms...)
}

// Leave makes it leave rooms; see [Broadcast.Leave].
func (r RemoteSocket) Leave(ctx context.Context, rooms ...string) error {
	return r.all().Leave(ctx, rooms...)
}

// Disconnect ends it; see [Broadcast.Disconnect].
func (r RemoteSocket) Disconnect(ctx context.Context, closeSession bool) error {
	return r.all().Disconnect(ctx, closeSession)
}

// CallRemote sends an event to a socket of any node and waits for its ack, of
// which it reads the first argument as an R (SIO-A-10). Otherwise it is [Call].
func CallRemote[R any](ctx context.Context, r RemoteSocket, event string, values ...any) (R, error) {
	if r.local != nil {
		return Call[R](ctx, r.local, event, values...)
	}
	for v, err := range CallAll[R](ctx, r.all(), event, values...) {
		var partial *PartialError
		if errors.As(err, &partial) {
			err = fmt.Errorf("node: call %.200q: %w", event, partial.Err)
		}
		return v, err
	}
	var zero R
	return zero, ErrDisconnected // nobody has it any more
}
