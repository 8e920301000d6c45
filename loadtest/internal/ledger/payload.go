package ledger

import "bytes"

// A payload begins with a header of fixed length: a mark, the stream, the sequence, the
// message's slot in the schedule, and how much later it was really sent. Numbers are
// digits of six bits in an alphabet that JSON leaves as it is, so that the receive path
// finds them without decoding anything.
//
//	fw1 SSSSSQQQQQQTTTTTTTTDDDDD.
const (
	mark      = "fw1 "
	atStream  = len(mark)
	atSeq     = atStream + 5
	atSlot    = atSeq + 6
	atDelay   = atSlot + 8
	HeaderLen = atDelay + 5 + 1
)

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"

var values = func() (v [256]byte) {
	for i := range v {
		v[i] = 0xff
	}
	for i := range alphabet {
		v[alphabet[i]] = byte(i)
	}
	return v
}()

// Header is what a payload says of itself.
type Header struct {
	Stream uint32
	Seq    uint32
	Slot   int64 // µs since the run's epoch, when it was to be sent
	Delay  int64 // µs later it was sent; at most 1073 s
}

// Put writes the header over the first HeaderLen bytes of p.
func (h Header) Put(p []byte) {
	_ = p[HeaderLen-1]
	copy(p, mark)
	put(p[atStream:atSeq], uint64(h.Stream))
	put(p[atSeq:atSlot], uint64(h.Seq))
	put(p[atSlot:atDelay], uint64(h.Slot))
	put(p[atDelay:atDelay+5], uint64(min(max(h.Delay, 0), 1<<30-1)))
	p[HeaderLen-1] = '.'
}

func put(p []byte, v uint64) {
	for i := len(p) - 1; i >= 0; i-- {
		p[i] = alphabet[v&63]
		v >>= 6
	}
}

// Parse reads the header at the begin of p.
func Parse(p []byte) (h Header, ok bool) {
	if len(p) < HeaderLen || string(p[:atStream]) != mark || p[HeaderLen-1] != '.' {
		return h, false
	}
	var bad byte
	number := func(p []byte) (n uint64) {
		for _, c := range p {
			v := values[c]
			bad |= v
			n = n<<6 | uint64(v&63)
		}
		return n
	}
	h.Stream = uint32(number(p[atStream:atSeq]))
	h.Seq = uint32(number(p[atSeq:atSlot]))
	h.Slot = int64(number(p[atSlot:atDelay]))
	h.Delay = int64(number(p[atDelay : atDelay+5]))
	return h, bad < 64
}

// Find tells where in a message a payload begins, -1 if there is none.
func Find(message []byte) int { return bytes.Index(message, markBytes) }

var markBytes = []byte(mark)
