package redis

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"time"
)

// place says that everything which a publisher has kept up to number n is
// delivered, or was not for this node.
type place struct {
	name uint32 // nameOf the publisher
	n    uint64
}

// nameOf is how offsets name a publisher: four bytes instead of ten. That two of
// a cluster have the same name is unlikely; positions notices it.
func nameOf(publisher string) uint32 { return crc32.ChecksumIEEE([]byte(publisher)) }

// vector is what a node has delivered, or a client has got, of all publishers: in
// the order of their names, without those of whom it is nothing.
type vector []place

func (v vector) search(name uint32) (int, bool) {
	return slices.BinarySearchFunc(v, name, func(p place, name uint32) int {
		switch {
		case p.name < name:
			return -1
		case p.name > name:
			return 1
		}
		return 0
	})
}

// of returns the number for a publisher, 0 if it is not there.
func (v vector) of(name uint32) uint64 {
	if i, ok := v.search(name); ok {
		return v[i].n
	}
	return 0
}

// raise sets the number of a publisher unless it is that large already, in place.
func (v vector) raise(name uint32, n uint64) vector {
	i, ok := v.search(name)
	switch {
	case ok:
		v[i].n = max(v[i].n, n)
	case n > 0:
		v = slices.Insert(v, i, place{name, n})
	}
	return v
}

// merge returns what is in v or in w.
func (v vector) merge(w vector) vector {
	all := slices.Clone(v)
	for _, p := range w {
		all = all.raise(p.name, p.n)
	}
	return all
}

// covers tells whether all that is in w is in v.
func (v vector) covers(w vector) bool {
	for _, p := range w {
		if v.of(p.name) < p.n {
			return false
		}
	}
	return true
}

// offset is a position in the journal as clients carry it.
type offset struct {
	// at is when, by the clock of Redis and in milliseconds, everything that had
	// been published was in places; 0 if that never was the case (see positions).
	at     int64
	places vector
}

// offsetEpoch is where the times in offsets begin, in milliseconds.
var offsetEpoch = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()

const (
	offsetVersion = 1
	// maxPublishers is how many publishers an offset may name. Whoever has more is
	// told that events are lost.
	maxPublishers = 4096
)

// String encodes an offset with the characters A-Z a-z 0-9 - _ (SIO-Z-14): the
// version, the time, and for each publisher four bytes of name and its number.
func (o offset) String() string {
	var space [128]byte
	b := append(space[:0], offsetVersion)
	b = binary.AppendUvarint(b, uint64(max(o.at-offsetEpoch, 0)))
	for _, p := range o.places {
		b = binary.BigEndian.AppendUint32(b, p.name)
		b = binary.AppendUvarint(b, p.n)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// parseOffset is the reverse of String. Offsets come from clients: what no node has
// made is not ok.
func parseOffset(s string) (o offset, ok bool) {
	if len(s) > maxPublishers*(4+binary.MaxVarintLen64)*4/3 {
		return o, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) < 2 || b[0] != offsetVersion {
		return o, false
	}
	at, n := binary.Uvarint(b[1:])
	if n <= 0 || at == 0 || at > 1<<45 {
		return o, false
	}
	o.at = int64(at) + offsetEpoch
	for b = b[1+n:]; len(b) > 0; {
		if len(b) < 5 || len(o.places) == maxPublishers {
			return o, false
		}
		p := place{name: binary.BigEndian.Uint32(b)}
		if p.n, n = binary.Uvarint(b[4:]); n <= 0 || p.n == 0 {
			return o, false
		}
		if len(o.places) > 0 && o.places[len(o.places)-1].name >= p.name {
			return o, false
		}
		o.places = append(o.places, p)
		b = b[4+n:]
	}
	return o, true
}
