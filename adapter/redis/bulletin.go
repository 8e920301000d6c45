package redis

import (
	"encoding/binary"

	"github.com/fanwire/fanwire/protocol/msgpack"
)

// bulletinVersion begins every bulletin. Others are passed over, so that clusters
// can run two versions; what is added to a list is passed over as well.
const bulletinVersion = 1

// bulletinKind is why a node sends a bulletin.
type bulletinKind uint8

const (
	bulletinBeat  bulletinKind = iota // it lives
	bulletinState                     // what it has changed, or somebody asked
	bulletinHello                     // it begins, or was away, and asks the others to tell who they are
	bulletinBye                       // it ends
)

// Bounds of a bulletin: there are so many nodes, namespaces and channels, or who
// sends it is no friend (HRD-60).
const (
	maxSpaces     = 10_000
	maxMarks      = 10_000
	maxClaims     = 64 << 10 // bytes of them in one bulletin of ours
	maxBulletin   = 1 << 20
	maxNameLength = 4096
)

// bulletin is what a node tells all others, whatever the namespace.
type bulletin struct {
	kind     bulletinKind
	wire     string // nodes of another wire are not of this cluster
	node     string
	epoch    string // of this life of the node
	revision uint64 // of its statement
	marks    []mark
	about    *statement // not in a beat
}

// statement is what changes rarely.
type statement struct {
	tag     string
	address string
	spaces  []space
}

// space is a namespace that the node hears.
type space struct{ namespace, uid string }

// mark is how far one publisher has come.
type mark struct {
	uid    string
	claims []byte // last numbers of its sequences, see appendClaim
	full   bool   // sequences without a claim so far are at their beginning
}

// appendClaim appends the last number of a sequence.
func appendClaim(dst []byte, sequence, number uint64) []byte {
	return binary.AppendUvarint(binary.LittleEndian.AppendUint64(dst, sequence), number)
}

// eachClaim reads claims; it stops at the first that is cut off.
func eachClaim(b []byte, f func(sequence, number uint64)) {
	for len(b) > 8 {
		number, n := binary.Uvarint(b[8:])
		if n <= 0 {
			return
		}
		f(binary.LittleEndian.Uint64(b), number)
		b = b[8+n:]
	}
}

// append appends the bulletin as MessagePack.
func (b *bulletin) append(dst []byte) []byte {
	n := 7
	if b.about != nil {
		n++
	}
	dst = msgpack.AppendArray(dst, n)
	dst = msgpack.AppendUint(dst, bulletinVersion)
	dst = msgpack.AppendUint(dst, uint64(b.kind))
	dst = msgpack.AppendString(dst, b.wire)
	dst = msgpack.AppendString(dst, b.node)
	dst = msgpack.AppendString(dst, b.epoch)
	dst = msgpack.AppendUint(dst, b.revision)
	dst = msgpack.AppendArray(dst, len(b.marks))
	for _, m := range b.marks {
		dst = msgpack.AppendArray(dst, 3)
		dst = msgpack.AppendString(dst, m.uid)
		dst = msgpack.AppendBin(dst, m.claims)
		dst = msgpack.AppendBool(dst, m.full)
	}
	if b.about == nil {
		return dst
	}
	dst = msgpack.AppendArray(dst, 3)
	dst = msgpack.AppendString(dst, b.about.tag)
	dst = msgpack.AppendString(dst, b.about.address)
	dst = msgpack.AppendArray(dst, 2*len(b.about.spaces))
	for _, s := range b.about.spaces {
		dst = msgpack.AppendString(msgpack.AppendString(dst, s.namespace), s.uid)
	}
	return dst
}

// readBulletin reads one. Its claims alias data.
func readBulletin(data []byte) (b bulletin, err error) {
	if len(data) > maxBulletin {
		return b, errTooLong
	}
	r := msgpack.NewReader(data)
	n := r.ArrayLen()
	version := r.Uint()
	if r.Err() == nil && version != bulletinVersion {
		return b, errForeign
	}
	if r.Err() == nil && n < 7 {
		return b, errWire
	}
	b.kind = bulletinKind(min(r.Uint(), 255))
	b.wire = r.Text()
	b.node = r.Text()
	b.epoch = r.Text()
	b.revision = r.Uint()
	if b.marks, err = readMarks(r); err != nil {
		return b, err
	}
	if n > 7 {
		if b.about, err = readStatement(r); err != nil {
			return b, err
		}
	}
	for i := 8; i < n && r.Err() == nil; i++ {
		r.Skip()
	}
	if err := r.End(); err != nil {
		return b, err
	}
	if b.node == "" || b.epoch == "" || len(b.node)+len(b.epoch) > maxNameLength || b.kind > bulletinBye {
		return b, errWire
	}
	return b, nil
}

func readMarks(r *msgpack.Reader) (list []mark, err error) {
	n := r.ArrayLen()
	if n > maxMarks {
		return nil, errTooLong
	}
	for i := 0; i < n && r.Err() == nil; i++ {
		members := r.ArrayLen()
		if r.Err() == nil && members < 3 {
			return nil, errWire
		}
		m := mark{uid: r.Text(), claims: r.Bytes(), full: r.Bool()}
		for j := 3; j < members && r.Err() == nil; j++ {
			r.Skip()
		}
		list = append(list, m)
	}
	return list, r.Err()
}

func readStatement(r *msgpack.Reader) (*statement, error) {
	members := r.ArrayLen()
	if r.Err() == nil && members < 3 {
		return nil, errWire
	}
	s := &statement{tag: r.Text(), address: r.Text()}
	n := r.ArrayLen()
	if n > 2*maxSpaces || n%2 != 0 || len(s.tag)+len(s.address) > maxNameLength {
		return nil, errTooLong
	}
	for i := 0; i < n && r.Err() == nil; i += 2 {
		s.spaces = append(s.spaces, space{namespace: r.Text(), uid: r.Text()})
	}
	for j := 3; j < members && r.Err() == nil; j++ {
		r.Skip()
	}
	return s, r.Err()
}
