package socketio

// Text is the default parser: packets are JSON text behind a header, and binary
// data follows in messages of its own. It sends at most 10 attachments in a
// packet, since official clients close their connection over more (SIO-B-05).
var Text Parser = TextParser{}

// TextParser is the parser that Text is, with settings.
type TextParser struct {
	// MaxAttachments bounds what Encode puts into one packet, for applications
	// whose clients are configured to take more; default 10, at most 999.
	MaxAttachments int
}

// Encode implements Parser. It allocates nothing but dst. It takes p.Data as it
// is, which must be JSON that fits the type (SIO-D-05).
func (t TextParser) Encode(dst []byte, p *Packet) (msg []byte, binary bool, rest [][]byte, err error) {
	if p.Type > BinaryAck {
		return dst, false, nil, ErrEncodeType
	}
	if n := len(p.Attachments); n > 0 && (p.Type.plain() == p.Type.binary() || n > t.maxAttachments()) {
		return dst, false, nil, ErrEncodeAttachments
	}
	dst = AppendHeader(dst, p.Type, len(p.Attachments), p.Namespace, p.ID, p.HasID)
	return append(dst, p.Data...), false, p.Attachments, nil
}

func (t TextParser) maxAttachments() int {
	return int(orDefault(min(t.MaxAttachments, maxAttachments), defaultAttachments))
}

// NewDecoder implements Parser. A decoder that awaits nothing takes 48 bytes and
// the name of the namespace that was used last.
func (TextParser) NewDecoder(l Limits) Decoder {
	return &textDecoder{limits: l.compact()}
}
