package engine

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"syscall"
)

const (
	readBufferSize = 16 << 10 // the default
	opText         = 1
	opBinary       = 2
)

// buffers are those of all connections. One is in use only while it holds bytes
// that were not read yet, so that an idle connection has none.
var buffers sync.Pool

// takeBuffer returns a buffer of at least that many bytes.
func takeBuffer(size int) *[]byte {
	if b, ok := buffers.Get().(*[]byte); ok && len(*b) >= size {
		return b
	}
	b := make([]byte, max(size, readBufferSize))
	return &b
}

// input reads ahead from the connection under a WebSocket, many frames with one
// system call. Plain messages are handed out in place; for all else it is the
// Read of gorilla's connection, which never gets bytes beyond the end of the
// HTTP headers or of the frame at hand: so nothing is left in gorilla's own
// buffer when a message begins.
type input struct {
	conn    net.Conn
	raw     syscall.RawConn // nil where waiting needs a buffer, as under TLS
	ready   func(fd uintptr) bool
	size    int    // of the buffer, at least
	headers bool   // the HTTP headers are being read
	line    int    // bytes in the current line of the headers
	left    uint64 // bytes of a frame that gorilla has begun

	buf      *[]byte // nil while there are no unread bytes
	from, to int
	err      error
	small    [64]byte // to wait with when raw is nil
}

func (in *input) init(conn net.Conn, size int) {
	in.conn, in.size, in.headers, in.raw = conn, size, true, rawOf(conn)
	in.ready = in.readReady
}

// framed is called when the HTTP headers have been read.
func (in *input) framed() { in.headers = false }

// message returns the next message if it is one frame without compression that
// fits into the buffer; plain is false if gorilla is to read what comes. data is
// valid until the next call. It waits for a message to begin.
func (in *input) message(limit int) (data []byte, binary, plain bool, err error) {
	if err := in.need(2); err != nil {
		return nil, false, false, err
	}
	b := (*in.buf)[in.from:in.to]
	op := b[0] & 0x0f
	if b[0]&0xf0 != 0x80 || op != opText && op != opBinary || b[1]&0x80 != 0 {
		return nil, false, false, nil
	}
	header, payload, err := in.header()
	if err != nil {
		return nil, false, false, err
	}
	if payload > uint64(limit) || payload > uint64(len(*in.buf)-header) {
		return nil, false, false, nil
	}
	end := header + int(payload)
	if err := in.need(end); err != nil {
		return nil, false, false, err
	}
	data = (*in.buf)[in.from+header : in.from+end : in.from+end]
	in.from += end
	return data, op == opBinary, true, nil
}

// header returns the sizes of the next frame's header and of its payload.
func (in *input) header() (header int, payload uint64, err error) {
	if err := in.need(2); err != nil {
		return 0, 0, err
	}
	b := (*in.buf)[in.from:in.to]
	if b[0]&0x30 != 0 || b[1]&0x80 != 0 {
		return 2, 0, nil // gorilla refuses these two: reserved bits, and a server's mask
	}
	n := uint64(b[1])
	header = 2
	switch n {
	case 126:
		header += 2
	case 127:
		header += 8
	}
	if err := in.need(header); err != nil {
		return 0, 0, err
	}
	switch b = (*in.buf)[in.from:in.to]; n {
	case 126:
		n = uint64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		n = binary.BigEndian.Uint64(b[2:])
	}
	return header, n, nil
}

// Read is gorilla's.
func (in *input) Read(p []byte) (int, error) {
	if in.headers {
		return in.readHeaders(p)
	}
	if in.left == 0 {
		header, payload, err := in.header()
		if err != nil {
			return 0, err
		}
		in.left = uint64(header) + min(payload, 1<<63)
	}
	n, err := in.unread(p, in.left)
	in.left -= uint64(n)
	return n, err
}

// readHeaders hands out bytes up to the empty line that ends the headers.
func (in *input) readHeaders(p []byte) (int, error) {
	if err := in.need(1); err != nil {
		return 0, err
	}
	b := (*in.buf)[in.from:min(in.to, in.from+len(p))]
	for i, c := range b {
		switch {
		case c == '\n' && in.line == 0:
			return in.unread(p, uint64(i+1))
		case c == '\n':
			in.line = 0
		case c != '\r':
			in.line++
		}
	}
	return in.unread(p, uint64(len(b)))
}

// unread copies at most limit bytes.
func (in *input) unread(p []byte, limit uint64) (int, error) {
	if err := in.need(1); err != nil {
		return 0, err
	}
	n := copy(p[:min(uint64(len(p)), limit)], (*in.buf)[in.from:in.to])
	in.from += n
	return n, nil
}

// need waits until that many unread bytes are in the buffer, which is large
// enough for them.
func (in *input) need(n int) error {
	for in.to-in.from < n {
		if in.err != nil {
			return in.err
		}
		if in.buf != nil && in.from > 0 {
			copy(*in.buf, (*in.buf)[in.from:in.to])
			in.from, in.to = 0, in.to-in.from
		}
		if in.err = in.fill(); in.err == io.EOF {
			in.err = io.ErrUnexpectedEOF // there was no close frame
		}
	}
	return nil
}

// fill reads once.
func (in *input) fill() error {
	if in.raw != nil {
		if err := in.raw.Read(in.ready); err != nil {
			return err
		}
		return in.err
	}
	if in.to == 0 { // what comes may be one of the small frames of an idle connection
		in.release()
		n, err := in.conn.Read(in.small[:])
		if n > 0 {
			in.buf = takeBuffer(in.size)
			in.to = copy(*in.buf, in.small[:n])
		}
		return err
	}
	n, err := in.conn.Read((*in.buf)[in.to:])
	in.to += n
	return err
}

// release gives the buffer back.
func (in *input) release() {
	if in.buf != nil {
		buffers.Put(in.buf)
		in.buf = nil
	}
}
