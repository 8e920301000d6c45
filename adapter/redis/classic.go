package redis

import (
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/protocol/msgpack"
)

// NewAdapter makes the factory of the classic adapter: the wire of npm
// @socket.io/redis-adapter 8. client may be a *Client, also one made for
// Sentinel, or a *ClusterClient; the caller closes it, after the adapters. A
// *Ring cannot carry it: its servers do not share what is published.
//
// All namespaces of a node share one subscriber connection and publish through
// one goroutine. The factory may serve several nodes of one process.
func NewAdapter(client goredis.UniversalClient, config Config) adapter.Factory {
	return newFactory(client, config, wireClassic, func(cfg Config, h adapter.Host, uid string) protocol {
		return newClassic(cfg, h, uid)
	})
}

// foreignAnswerSize is from where it pays to look for our uid in an answer before
// taking it apart: answers on the shared channel arrive at all nodes (CLU-C-06).
const foreignAnswerSize = 4 << 10

// classic is the protocol of the classic adapter.
type classic struct {
	// Static after construction.
	host  adapter.Host
	wire  wire
	names channels
	heads [3]string // how our own broadcasts begin

	joins recentJoins
}

func newClassic(cfg Config, h adapter.Host, uid string) *classic {
	w := wire{uid: uid, namespace: h.Namespace()}
	return &classic{host: h, wire: w, names: newChannels(cfg, h, uid), heads: w.heads()}
}

// heads returns how the broadcasts of this adapter begin: an array of three,
// four or, with two maps of extras, five, and the uid.
func (w wire) heads() (heads [3]string) {
	for i := range heads {
		heads[i] = string(msgpack.AppendString(msgpack.AppendArray(nil, 3+i), w.uid))
	}
	return heads
}

func (c *classic) base() []baseChannel { return c.names.base }

func (c *classic) countChannel() string { return c.names.request } // CLU-R-41

func (c *classic) roomChannel(room string) string {
	if c.names.covers(room) {
		return ""
	}
	return c.names.ofRoom(room)
}

func (c *classic) encode(m *adapter.Message) (item, error) {
	payload, request, err := c.wire.encode(m)
	if m.Kind == adapter.Join {
		c.joins.add(m.Names, time.Now())
	}
	return item{verb: verbPublish, channel: c.channel(m, request), payload: payload, lane: laneMessages}, err
}

// channel is where m goes (CLU-R-01 to CLU-R-03).
func (c *classic) channel(m *adapter.Message, request bool) string {
	switch {
	case request:
		return c.names.request
	case len(m.Target.Rooms) != 1 || c.joins.has(m.Target.Rooms[0], time.Now):
		return c.names.all
	}
	return c.names.ofRoom(m.Target.Rooms[0])
}

// encodeAnswer: every node listens to the response channel that bears its uid
// (CLU-G-04); where that is unknown the shared one is used.
func (c *classic) encodeAnswer(to string, m *adapter.Message) (item, error) {
	payload, err := c.wire.encodeAnswer(m)
	return item{verb: verbPublish, channel: c.names.response(to), payload: payload, lane: laneAnswers}, err
}

func (c *classic) stamp(it *item, x extras) { it.payload = stampPayload(it.payload, x) }

// sequence: what goes to ids is numbered by their tag, since the node of that tag
// hears all of it by its pattern; others have single ids of that tag at most.
func (c *classic) sequence(d delivery) (id uint64, kept bool) {
	room, ok := c.names.room(d.channel)
	if !ok || c.names.ids != "" || !isID(room) {
		return sequenceID(d.channel), d.kind != routeIDs
	}
	tag := room[idLen-tagLen:]
	return sequenceID(c.names.all, "*", tag, "#"), tag == c.names.tag
}

// ignores passes what is for a room that the last member has just left: it has a
// number that counts.
func (c *classic) ignores(d delivery) bool {
	switch d.kind {
	case routeAll, routeRoom:
		return c.own(d.payload)
	case routeIDs:
		room, _ := c.names.room(d.channel)
		return c.own(d.payload) || !isID(room) && !c.host.HasRoom(room)
	case routeAnswer:
		return len(d.payload) >= foreignAnswerSize && !strings.Contains(d.payload, c.wire.uid)
	}
	return false
}

// own tells whether a broadcast is our own (CLU-R-17).
func (c *classic) own(payload string) bool {
	for _, head := range c.heads {
		if strings.HasPrefix(payload, head) {
			return true
		}
	}
	return false
}

func (c *classic) decode(d delivery) (incoming, error) {
	switch d.kind {
	case routeRequest:
		return c.decodeRequest(bytesOf(d.payload))
	case routeAnswer:
		return c.decodeAnswer(bytesOf(d.payload))
	}
	return c.decodeBroadcast(bytesOf(d.payload))
}

// decodeBroadcast looks at the options first, and at the payload only if a socket
// is here for it.
func (c *classic) decodeBroadcast(b []byte) (in incoming, err error) {
	m, err := readBroadcast(b)
	if err != nil {
		return in, err
	}
	in.from, in.extras = m.uid, m.extras
	if m.uid == c.wire.uid || !concerns(c.host, m.target) {
		return in, errForeign
	}
	p, err := readPacket(m.packet, m.extras.raw)
	switch {
	case err != nil:
		return in, err
	case p.namespace != c.wire.namespace:
		return in, errForeign
	}
	in.msg = &adapter.Message{
		Kind:   adapter.Broadcast,
		From:   m.uid,
		Target: m.target,
		Packet: p.payload,
	}
	return in, nil
}

func (c *classic) decodeRequest(b []byte) (in incoming, err error) {
	f, err := readFrame(b)
	if err != nil {
		return in, err
	}
	in.from, _ = f.text("uid")
	in.extras = f.extras
	var single bool
	in.msg, single, err = c.wire.readRequest(f)
	switch {
	case err != nil:
		return in, err
	case (single || in.msg.RequestID == "") && !concerns(c.host, in.msg.Target):
		return in, errForeign // who asks is answered also where none of the rooms is (CLU-G-02)
	case single && in.msg.RequestID != "":
		in.confirm = c.confirmSingle(in.msg)
		in.msg.RequestID = "" // that is the answer
	}
	return in, nil
}

// confirmSingle tells the sender of the old form of a command that its socket
// was here (CLU-R-34).
func (c *classic) confirmSingle(m *adapter.Message) item {
	payload := append(appendString([]byte(`{"requestId":`), m.RequestID), '}')
	return item{verb: verbPublish, channel: c.names.response(m.From), payload: payload, lane: laneAnswers}
}

func (c *classic) decodeAnswer(b []byte) (in incoming, err error) {
	in.msg, err = c.wire.readAnswer(b)
	return in, err
}
