package run

import (
	"bytes"

	"github.com/fanwire/fanwire/client"
	"github.com/fanwire/fanwire/loadtest/internal/ledger"
)

// payloadOf is the bytes of the first argument as they came, without the quotes of a
// string.
func payloadOf(e *client.RawEvent) []byte {
	if len(e.Attachments) > 0 {
		return e.Attachments[0]
	}
	p := e.Args
	if len(p) == 0 || p[0] != '"' {
		return nil
	}
	p = p[1:]
	if end := bytes.IndexByte(p, '"'); end >= 0 { // one inside would be escaped, and only a file has one
		p = p[:end]
	}
	return p
}

// payload makes the argument that carries h: a string, or bytes for the plan's share of
// messages. Sizes and kinds are spread evenly, without chance.
func (r *runner) payload(h ledger.Header) (v any, size int) {
	n := r.sized.Add(1)
	p := r.plan.Payload
	text := r.plan.PayloadText
	size = p.Min
	switch {
	case p.File != "":
		size = ledger.HeaderLen + len(text)
	case p.Max > p.Min:
		size += int(spread(n) * float64(p.Max-p.Min+1))
	}
	data := make([]byte, size)
	h.Put(data)
	if rest := data[ledger.HeaderLen:]; p.File != "" {
		copy(rest, text)
	} else {
		for len(rest) > 0 {
			rest = rest[copy(rest, filler):]
		}
	}
	if r.plan.Binary > 0 && spread(n*7+3) < float64(r.plan.Binary) {
		return data, size
	}
	return string(data), size
}

// filler is text that compresses about as well as text does.
const filler = "the quick brown fox jumps over the lazy dog, 0123456789 times a day; "

// spread maps a count evenly to 0 to 1.
func spread(n uint64) float64 {
	return float64(n*0x9e3779b97f4a7c15>>11) / (1 << 53)
}
