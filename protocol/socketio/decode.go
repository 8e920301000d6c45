package socketio

import "bytes"

// textDecoder is the decoder of TextParser. There is one for each session, idle
// most of the time: it must stay within 48 bytes.
type textDecoder struct {
	namespace string   // the last one that was not "/": saves its allocation
	pending   *pending // nil unless attachments are awaited
	limits    limits
}

// pending is a packet without its last attachments.
type pending struct {
	packet  Packet
	missing int
	bytes   int // what the attachments may still take (HRD-41)
}

// Pending implements Decoder.
func (d *textDecoder) Pending() bool { return d.pending != nil }

// Decode implements Decoder. Of an event without attachments it allocates
// nothing, unless the namespace differs from the last one or the event's name
// has escapes.
func (d *textDecoder) Decode(data []byte, binary bool, p *Packet) (complete bool, err error) {
	if binary {
		return d.attach(data, p)
	}
	if d.pending != nil {
		d.pending = nil
		return false, ErrText
	}
	if len(data) > int(d.limits.bytes) {
		return false, ErrTooLarge
	}
	*p = Packet{}
	rest, attachments, err := d.header(data, p)
	if err != nil {
		return false, err
	}
	if err := d.payload(rest, p); err != nil {
		return false, err
	}
	if attachments == 0 {
		return true, nil
	}
	return false, d.await(attachments, int(d.limits.bytes)-len(data), p)
}

// await remembers p until its attachments are there. Nothing is allocated by
// their number (HRD-03).
func (d *textDecoder) await(attachments, bytes int, p *Packet) error {
	if p.Data == nil {
		return ErrPayload // HRD-40; a plain ack may be without
	}
	if err := checkPlaceholders(p.Data, attachments); err != nil {
		return err
	}
	d.pending = &pending{packet: *p, missing: attachments, bytes: bytes}
	return nil
}

// attach takes the next attachment.
func (d *textDecoder) attach(data []byte, p *Packet) (complete bool, err error) {
	w := d.pending
	if w == nil {
		return false, ErrBinary
	}
	w.bytes -= len(data)
	if w.bytes < 0 {
		d.pending = nil
		return false, ErrTooLarge
	}
	w.packet.Attachments = append(w.packet.Attachments, data)
	w.missing--
	if w.missing > 0 {
		return false, nil
	}
	d.pending = nil
	*p = w.packet
	return true, nil
}

// header reads the type, the number of attachments, the namespace and the ack
// id, and returns the JSON behind them.
func (d *textDecoder) header(data []byte, p *Packet) (rest []byte, attachments int, err error) {
	if len(data) == 0 || data[0]-'0' > byte(BinaryAck) {
		return nil, 0, unknownType(data)
	}
	p.Type = Type(data[0] - '0')
	rest = data[1:]
	if p.Type >= BinaryEvent {
		p.Type = p.Type.plain()
		if attachments, rest, err = d.count(rest); err != nil {
			return nil, 0, err
		}
	}
	p.Namespace = "/"
	if len(rest) > 0 && rest[0] == '/' {
		if p.Namespace, rest, err = d.name(rest); err != nil {
			return nil, 0, err
		}
	}
	rest, err = readID(rest, p)
	return rest, attachments, err
}

// count reads the number of attachments and the dash. Only digits are taken, at
// most three (SIO-D-02, HRD-41).
func (d *textDecoder) count(data []byte) (n int, rest []byte, err error) {
	i := 0
	for ; i < len(data) && data[i]-'0' <= 9; i++ {
		if i == 3 {
			return 0, nil, ErrTooManyAttachments
		}
		n = n*10 + int(data[i]-'0')
	}
	switch {
	case i == len(data) || data[i] != '-' || n == 0:
		return 0, nil, ErrAttachments
	case n > int(d.limits.attachments):
		return 0, nil, ErrTooManyAttachments
	}
	return n, data[i+1:], nil
}

// name reads a namespace: from its slash to a comma, or all there is (SIO-F-08).
func (d *textDecoder) name(data []byte) (name string, rest []byte, err error) {
	window := data[:min(len(data), int(d.limits.namespace)+1)]
	raw := window
	if i := bytes.IndexByte(window, ','); i >= 0 {
		raw, rest = data[:i], data[i+1:]
	} else if len(window) > int(d.limits.namespace) {
		return "", nil, ErrNamespace // HRD-43
	}
	if string(raw) == d.namespace {
		return d.namespace, rest, nil
	}
	if len(raw) == 1 {
		return "/", rest, nil // SIO-F-07
	}
	for _, c := range raw {
		if c < ' ' { // NUL (HRD-43), and the separator of payloads (EIO-P-02)
			return "", nil, ErrNamespace
		}
	}
	d.namespace = string(raw)
	return d.namespace, rest, nil
}

// readID reads the ack id: the longest run of digits (SIO-D-03).
func readID(data []byte, p *Packet) (rest []byte, err error) {
	for len(data) > 0 && data[0]-'0' <= 9 {
		p.HasID = true
		p.ID = p.ID*10 + uint64(data[0]-'0')
		if p.ID > maxID {
			return nil, ErrID
		}
		data = data[1:]
	}
	return data, nil
}

// payload checks the JSON against the type (SIO-D-05) and finds the event's name
// and the arguments.
func (d *textDecoder) payload(data []byte, p *Packet) error {
	if len(data) == 0 {
		if p.Type == Event {
			return ErrPayload // HRD-40
		}
		return nil
	}
	p.Data = data
	switch p.Type {
	case Event:
		return d.event(data, p)
	case Ack:
		return d.array(data, p)
	case Connect:
		return d.value(data, data[0] == '{')
	case ConnectError:
		return d.value(data, data[0] == '{' || data[0] == '"')
	}
	return ErrPayload
}

// event reads an array whose first item is a name.
func (d *textDecoder) event(data []byte, p *Packet) error {
	if data[0] != '[' {
		return ErrPayload // also white space: officially a digit of the id (SIO-D-03)
	}
	i := skipSpace(data, 1)
	end, err := d.eventName(data, i, p)
	if err != nil {
		return err
	}
	i = skipSpace(data, end)
	if i == len(data) {
		return ErrPayload
	}
	switch data[i] {
	case ']':
		return endOfData(data, i+1)
	case ',':
		if end = scan(data, i+1, 1, int(d.limits.depth)); end < 0 {
			return scanError(end)
		}
		p.Args = trimRight(data[skipSpace(data, i+1) : end-1])
		return endOfData(data, end)
	}
	return ErrPayload
}

// eventName reads the string or number at i.
func (d *textDecoder) eventName(data []byte, i int, p *Packet) (end int, err error) {
	if i == len(data) {
		return 0, ErrPayload
	}
	limit := int(d.limits.eventName)
	if data[i] != '"' {
		if end = scanNumber(data, i); end < 0 {
			return 0, ErrPayload
		}
		if end-i > limit {
			return 0, ErrEventName
		}
		p.Event = number(data[i:end:end])
		return end, nil
	}
	if end = scanString(data, i+1); end < 0 {
		return 0, ErrPayload
	}
	name := data[i+1 : end-1 : end-1]
	if escaped(name[:min(len(name), 6*limit+1)]) {
		if len(name) > 6*limit {
			return 0, ErrEventName
		}
		name = appendUnescaped(make([]byte, 0, len(name)), name)
		if bytes.IndexByte(name, 0) >= 0 {
			return 0, ErrEventName // HRD-43
		}
	}
	if len(name) > limit {
		return 0, ErrEventName
	}
	if Reserved(name) {
		return 0, ErrPayload
	}
	p.Event = name
	return end, nil
}

// array reads the payload of an ack.
func (d *textDecoder) array(data []byte, p *Packet) error {
	if err := d.value(data, data[0] == '['); err != nil {
		return err
	}
	args := trimRight(data)
	args = args[1 : len(args)-1]
	p.Args = trimRight(args[skipSpace(args, 0):])
	return nil
}

// value reads a payload of which only the kind matters.
func (d *textDecoder) value(data []byte, kind bool) error {
	if !kind {
		return ErrPayload
	}
	return scanError(scanAll(data, int(d.limits.depth)))
}

func endOfData(data []byte, i int) error {
	if skipSpace(data, i) != len(data) {
		return ErrPayload
	}
	return nil
}

// scanError turns the result of a scan into an error.
func scanError(end int) error {
	switch {
	case end >= 0:
		return nil
	case end == tooDeep:
		return ErrDepth
	}
	return ErrPayload
}
