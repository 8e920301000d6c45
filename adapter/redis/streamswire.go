package redis

import (
	"unicode/utf16"

	"github.com/fanwire/fanwire/adapter"
)

func utf16Units(s string) []uint16 { return utf16.Encode([]rune(s)) }

// streamsWire is the protocol of the streams adapter for one namespace of one node:
// what should not be lost goes through a stream, questions and answers through
// channels (CLU-X-02, CLU-X-04).
type streamsWire struct {
	// Static after construction.
	wire    clusterWire
	cfg     StreamsConfig
	key     string // of the stream
	all     string // P#N#
	journal *streamJournal
}

func newStreamsWire(cfg StreamsConfig, h adapter.Host, uid string) *streamsWire {
	return &streamsWire{
		wire: clusterWire{uid: uid, namespace: h.Namespace(), node: h.NodeID(), concerns: func(t adapter.Target) bool { return concerns(h, t) }},
		cfg:  cfg,
		key:  cfg.stream(h.Namespace()),
		all:  cfg.Key + "#" + h.Namespace() + "#",
	}
}

func (s *streamsWire) base() []baseChannel {
	return []baseChannel{
		{s.all, false, routeRequest},
		{s.own(s.wire.uid), false, routeAnswer},
	}
}

func (s *streamsWire) verb() verb {
	if s.cfg.Sharded {
		return verbSPublish
	}
	return verbPublish
}

func (s *streamsWire) own(uid string) string { return s.all + uid + "#" }

func (s *streamsWire) roomChannel(string) string { return "" }

func (s *streamsWire) countChannel() string { return s.all }

// encode: what is kept goes to the stream. Programs that only emit add their server
// events too, since nobody could answer (CLU-E-06).
func (s *streamsWire) encode(m *adapter.Message) (item, error) {
	if s.isEphemeral(m) {
		payload, err := s.wire.encodePacked(m)
		return item{verb: s.verb(), channel: s.all, payload: payload, lane: laneMessages}, err
	}
	en, err := s.wire.encodeEntry(m)
	return s.item(en), err
}

func (s *streamsWire) isEphemeral(m *adapter.Message) bool {
	switch m.Kind {
	case adapter.Broadcast:
		return m.RequestID != ""
	case adapter.ServerEvent:
		return s.wire.uid != emitterUID
	case adapter.Join, adapter.Leave, adapter.Disconnect:
		return false
	}
	return true
}

// Where an item of a stream has its extras: behind the options and three fields.
const extArg = 10

// item adds an entry (CLU-X-02). The extras come before data, which is the payload.
func (s *streamsWire) item(en clusterEntry) item {
	args := make([]any, extArg, extArg+3)
	copy(args, []any{"MAXLEN", "~", s.cfg.MaxLen, "*", "uid", en.uid, "nsp", en.namespace, "type", en.typ})
	if en.ext != "" {
		args = append(args, extKey, en.ext)
	}
	return item{
		verb:    verbXAdd,
		channel: s.key,
		payload: []byte(en.data),
		lane:    laneMessages,
		entry:   &entry{args: append(args, "data")},
	}
}

func (s *streamsWire) encodeAnswer(to string, m *adapter.Message) (item, error) {
	payload, err := s.wire.encodePacked(m)
	return item{verb: s.verb(), channel: s.own(to), payload: payload, lane: laneAnswers}, err
}

func (s *streamsWire) stamp(it *item, x extras) {
	if it.entry == nil {
		it.payload = stampPayload(it.payload, x)
		return
	}
	args := it.entry.args
	if args[extArg] == extKey {
		old, _ := readEntryExtras(args[extArg+1].(string))
		x = old.merge(x)
	}
	if ext := x.text(); ext != "" {
		it.entry.args = append(args[:extArg:extArg], extKey, ext, "data")
	}
}

// sequence: the entries of one namespace in the stream are one.
func (s *streamsWire) sequence(d delivery) (id uint64, kept bool) { return sequenceID(d.channel), true }

func (s *streamsWire) ignores(d delivery) bool {
	return d.placed == nil && s.wire.own(d.payload)
}

func (s *streamsWire) decode(d delivery) (incoming, error) {
	if d.placed == nil {
		return s.wire.decode(bytesOf(d.payload))
	}
	return s.journal.decode(d.placed)
}

// decodePlaced reads an entry of another node.
func (s *streamsWire) decodePlaced(e *placedEntry) (in incoming, err error) {
	if e.uid == s.wire.uid {
		in.from = e.uid
		if in.extras, err = readEntryExtras(e.ext); err == nil {
			err = errForeign
		}
		return in, err
	}
	in, err = s.wire.decodeEntry(e.clusterEntry)
	if err == nil && (in.msg.Local || in.msg.Direct) {
		err = errForeign // kept for the sockets of the other node
	}
	return in, err
}
