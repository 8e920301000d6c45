package node

import (
	"fmt"
	"sync"

	"github.com/fanwire/fanwire/internal/args"
	"github.com/fanwire/fanwire/protocol/socketio"
)

// scratch is where packets are put together before their bytes are copied into a
// session's output or into the one packet of a broadcast. Its place is put: who
// gets one returns it by put, nobody else does.
type scratch struct {
	buf  []byte
	atts [][]byte
}

// maxScratch is the largest buffer that is kept.
const maxScratch = 64 << 10

var scratches = sync.Pool{New: func() any { return &scratch{buf: make([]byte, 0, 512)} }}

func getScratch() *scratch { return scratches.Get().(*scratch) }

func (b *scratch) put() {
	if cap(b.buf) > maxScratch {
		return
	}
	b.buf = b.buf[:0]
	b.atts = nil // the packets that were made of them keep them
	scratches.Put(b)
}

// appendEvent appends the JSON array of an event to b and its binary parts.
func (b *scratch) appendEvent(event string, values []any) error {
	if socketio.Reserved(event) {
		return fmt.Errorf("%w: %q", ErrReservedEvent, event)
	}
	b.buf = append(b.buf, '[')
	b.buf, _, _ = encodeString(b.buf, nil, event)
	if err := b.appendValues(values, true); err != nil {
		return err
	}
	b.buf = append(b.buf, ']')
	return nil
}

// appendValues appends values as arguments, after a comma if some stand before.
func (b *scratch) appendValues(values []any, comma bool) (err error) {
	if len(values) == 0 {
		return nil
	}
	mark := len(b.buf)
	if comma {
		b.buf = append(b.buf, ',')
	}
	begin := len(b.buf)
	if b.buf, b.atts, err = args.Append(b.buf, b.atts, values...); err != nil {
		return fmt.Errorf("node: encode: %w", err)
	}
	if len(b.buf) == begin { // values that stand for no arguments
		b.buf = b.buf[:mark]
	}
	return nil
}
