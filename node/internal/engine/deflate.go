package engine

import (
	"bytes"
	"compress/flate"
	"sync"
)

// deflateThreshold is the size in bytes from which messages are compressed
// (EIO-Z-06).
const deflateThreshold = 1024

var deflaters = sync.Pool{New: func() any {
	w, _ := flate.NewWriter(nil, flate.BestSpeed) // fails for unknown levels only
	return w
}}

// appendDeflated appends one compressed frame. It stands for itself, without
// context takeover, so that one frame serves every recipient.
func appendDeflated(dst []byte, op byte, prefix, data []byte) []byte {
	var out bytes.Buffer
	w := deflaters.Get().(*flate.Writer)
	w.Reset(&out)
	_, _ = w.Write(prefix) // a bytes.Buffer does not fail
	_, _ = w.Write(data)
	_ = w.Flush()
	deflaters.Put(w)
	body := bytes.TrimSuffix(out.Bytes(), []byte{0, 0, 0xff, 0xff}) // RFC 7692, section 7.2.1
	dst = appendFrameHeader(dst, op|rsv1, len(body))
	return append(dst, body...)
}
