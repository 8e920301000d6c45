package msgpack

import (
	"encoding/binary"
	"math"
	"strconv"
)

// AppendJSON translates the first value of src: its JSON is appended to dst, its
// binary data to atts with {"_placeholder":true,"num":N} in its place, N being
// its index in atts (SIO-B-01). rest is what follows the value in src. The
// attachments alias src. On error, what was appended is without meaning.
//
// The JSON is what an official server would send to its clients for this value:
// undefined members of maps vanish, elsewhere undefined, NaN and infinities are
// null (SIO-E-02), dates are ISO texts (CLU-M-14, -16), unknown extensions arrays
// of type and bytes (CLU-M-15), floats are printed as JavaScript does. Better than
// that: integers keep all 64 bits. Bytes in strings that are not UTF-8 become
// U+FFFD. Keys that are not strings become text; binary data is taken for its
// text, containers and unknown extensions are refused as keys.
//
// A map that looks like a placeholder is left alone, as in the official server,
// if there are no attachments, and refused if there are: clients would close the
// session for it or see another's data (HRD-42).
func AppendJSON(dst []byte, atts [][]byte, src []byte, lim Limits) (json []byte, attachments [][]byte, rest []byte, err error) {
	w := jsonWriter{src: src, dst: dst, atts: atts, lim: lim.withDefaults()}
	w.limit = len(dst) + w.lim.Bytes
	err = w.run()
	return w.dst, w.atts, w.src, err
}

// jsonWriter is the state of AppendJSON.
type jsonWriter struct {
	src         []byte // from the next value on
	dst         []byte
	atts        [][]byte
	open        stack[level] // containers
	lim         Limits
	limit       int  // of len(dst), shrinks with each attachment
	placeholder bool // a map looked like one
}

// level is an open container.
type level struct {
	left  int // items, or members of a map
	isMap bool
}

func (w *jsonWriter) run() error {
	first := len(w.atts)
	err := w.value()
	for err == nil && w.closeFull() {
		if c := w.dst[len(w.dst)-1]; c != '[' && c != '{' {
			w.dst = append(w.dst, ',')
		}
		top := w.open.top()
		top.left--
		if top.isMap {
			err = w.member()
		} else {
			err = w.value()
		}
	}
	switch {
	case err != nil:
		return err
	case w.placeholder && len(w.atts) > first:
		return ErrAttachments
	case len(w.dst) > w.limit:
		return ErrTooLarge
	}
	return nil
}

// closeFull closes the containers that have all their items and reports whether
// one is still open.
func (w *jsonWriter) closeFull() bool {
	for w.open.n > 0 {
		switch top := w.open.top(); {
		case top.left > 0:
			return true
		case top.isMap:
			w.dst = append(w.dst, '}')
		default:
			w.dst = append(w.dst, ']')
		}
		w.open.pop()
	}
	return false
}

// value writes a scalar or the beginning of a container.
func (w *jsonWriter) value() (err error) {
	h, ok := parseHead(w.src)
	if !ok {
		return ErrMalformed
	}
	switch body := w.src[h.size:]; h.kind {
	case Nil:
		w.dst = append(w.dst, "null"...)
	case Bool:
		w.dst = strconv.AppendBool(w.dst, h.n != 0)
	case Int:
		w.dst = appendNumber(w.dst, h)
	case Float:
		w.float(h.float())
	case String:
		w.dst = appendQuoted(w.dst, body[:h.n])
	case Bin:
		err = w.attachment(body[:h.n:h.n], 1)
	case Ext:
		err = w.extension(h, body[:h.n:h.n])
	default:
		err = w.container(h)
	}
	w.src = w.src[h.size+h.contents():]
	if err == nil && len(w.dst) > w.limit {
		return ErrTooLarge
	}
	return err
}

func (w *jsonWriter) container(h head) error {
	if w.open.n >= w.lim.Depth {
		return ErrDepth
	}
	w.open.push(level{left: int(h.n), isMap: h.kind == Map})
	if h.kind == Map {
		w.dst = append(w.dst, '{')
	} else {
		w.dst = append(w.dst, '[')
	}
	return nil
}

// member writes a key and its value, or neither if the value is undefined.
func (w *jsonWriter) member() error {
	start := len(w.dst)
	if err := w.key(); err != nil {
		return err
	}
	switch {
	case isUndefined(w.src):
		w.src = w.src[3:]
		w.dst = w.dst[:start]
		if w.dst[start-1] == ',' {
			w.dst = w.dst[:start-1]
		}
		return nil
	case len(w.src) > 0 && w.src[0] == 0xc3 && string(w.dst[start:]) == `"_placeholder"`:
		w.placeholder = true
	}
	w.dst = append(w.dst, ':')
	return w.value()
}

// key writes the key of a member.
func (w *jsonWriter) key() error {
	h, ok := parseHead(w.src)
	if !ok {
		return ErrMalformed
	}
	switch body := w.src[h.size:]; h.kind {
	case String, Bin:
		w.dst = appendQuoted(w.dst, body[:h.n])
	case Nil:
		w.dst = append(w.dst, `"null"`...)
	case Bool:
		w.dst = append(strconv.AppendBool(append(w.dst, '"'), h.n != 0), '"')
	case Int, Float:
		w.dst = append(appendNumber(append(w.dst, '"'), h), '"')
	case Ext:
		if !w.extensionKey(h, body[:h.n]) {
			return ErrType
		}
	default:
		return ErrType
	}
	w.src = w.src[h.size+h.contents():]
	return nil
}

func (w *jsonWriter) float(f float64) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		w.dst = append(w.dst, "null"...)
		return
	}
	w.dst = appendFloatText(w.dst, f)
}

// attachment takes binary data out. levels is what that adds to the depth.
func (w *jsonWriter) attachment(data []byte, levels int) error {
	w.limit -= len(data)
	switch {
	case w.open.n+levels > w.lim.Depth:
		return ErrDepth
	case len(w.atts) >= w.lim.Attachments:
		return ErrAttachments
	case len(w.dst) > w.limit:
		return ErrTooLarge
	}
	w.dst = append(w.dst, `{"_placeholder":true,"num":`...)
	w.dst = append(strconv.AppendInt(w.dst, int64(len(w.atts)), 10), '}')
	w.atts = append(w.atts, data)
	return nil
}

// extension writes what the official decoders make of an extension type.
func (w *jsonWriter) extension(h head, data []byte) error {
	ms, isDate := date(w.src[0], h.ext, data)
	switch {
	case isDate:
		w.dst = appendDate(w.dst, ms)
	case isUndefined(w.src):
		w.dst = append(w.dst, "null"...)
	case h.ext == 0 && w.src[0] <= 0xc9: // an ArrayBuffer
		return w.attachment(data, 1)
	default:
		w.dst = append(strconv.AppendInt(append(w.dst, '['), int64(h.ext), 10), ',')
		err := w.attachment(data, 2)
		w.dst = append(w.dst, ']')
		return err
	}
	return nil
}

func (w *jsonWriter) extensionKey(h head, data []byte) bool {
	ms, isDate := date(w.src[0], h.ext, data)
	switch {
	case isDate && math.Abs(ms) <= maxDate:
		w.dst = appendDate(w.dst, ms)
	case isUndefined(w.src):
		w.dst = append(w.dst, `"undefined"`...)
	default:
		return false
	}
	return true
}

// date returns the milliseconds of the timestamp extension (CLU-M-09) and of
// notepack 2's dates (CLU-M-14), computed as the official decoder does it. code is
// the first byte of the value.
func date(code byte, ext int8, data []byte) (ms float64, ok bool) {
	switch {
	case code == 0xd7 && ext == 0:
		return float64(int64(binary.BigEndian.Uint64(data))), true
	case ext != -1:
	case code == 0xd6:
		return float64(binary.BigEndian.Uint32(data)) * 1e3, true
	case code == 0xd7:
		n := binary.BigEndian.Uint64(data)
		return milliseconds(float64(n&(1<<34-1)), float64(n>>34)), true
	case code == 0xc7 && len(data) == 12:
		ns, s := binary.BigEndian.Uint32(data), int64(binary.BigEndian.Uint64(data[4:]))
		return milliseconds(float64(s), float64(ns)), true
	}
	return 0, false
}

func milliseconds(s, ns float64) float64 {
	// The conversions keep the compiler from fusing the operations.
	return math.Trunc(float64(s*1e3) + float64(ns/1e6))
}
