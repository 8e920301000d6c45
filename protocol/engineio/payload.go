package engineio

import (
	"bytes"
	"iter"
)

// Separator stands between the packets of a protocol 4 payload (EIO-P-01).
const Separator = 0x1e

// SplitPayload yields the packets of a protocol 4 polling body, still encoded
// and aliasing payload. Empty packets are yielded too, and an empty body is one:
// DecodeText refuses them (EIO-M-02, EIO-M-03). It does not allocate.
func SplitPayload(payload []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		rest := payload
		for {
			i := bytes.IndexByte(rest, Separator)
			if i < 0 {
				yield(rest)
				return
			}
			if !yield(rest[:i:i]) {
				return
			}
			rest = rest[i+1:]
		}
	}
}
