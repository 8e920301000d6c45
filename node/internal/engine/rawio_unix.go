//go:build unix

package engine

import (
	"errors"
	"net"
	"sync"
	"syscall"
)

// readBuffer holds what one read brought. It is in use only while there are
// unread bytes, so that an idle connection has none.
type readBuffer struct {
	data     [16 << 10]byte
	from, to int
}

var readBuffers = sync.Pool{New: func() any { return new(readBuffer) }}

// rawOf returns the descriptor of a connection that can be written without
// blocking; nil if it has none, as under TLS.
func rawOf(c net.Conn) syscall.RawConn {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// readReady reads into a buffer from the pool once the descriptor has
// something; meanwhile nothing is held. It is called by RawConn.Read.
func (c *wsConn) readReady(fd uintptr) bool {
	b := readBuffers.Get().(*readBuffer)
	n, err := ignoringEINTR(int(fd), b.data[:], syscall.Read)
	if errors.Is(err, syscall.EAGAIN) {
		readBuffers.Put(b)
		return false
	}
	b.from, b.to = 0, max(n, 0)
	c.rb, c.rbErr = b, err
	return true
}

// rawWriter makes one non-blocking write, without allocating.
type rawWriter struct {
	pieces [][]byte
	n      int
	err    error
	fn     func(fd uintptr) bool
	wait   bool // wait until something was taken
}

var rawWriters = sync.Pool{New: func() any {
	w := &rawWriter{}
	w.fn = w.write
	return w
}}

func (w *rawWriter) write(fd uintptr) bool {
	for _, p := range w.pieces {
		n, err := ignoringEINTR(int(fd), p, syscall.Write)
		w.n += max(n, 0)
		if errors.Is(err, syscall.EAGAIN) {
			return !w.wait || w.n > 0
		}
		if err != nil {
			w.err = err
			return true
		}
		if n < len(p) {
			return true
		}
	}
	return true
}

// writeRaw writes what the kernel takes of b from off on. If wait is set it
// blocks until that is at least one byte, or the write deadline has passed.
func writeRaw(raw syscall.RawConn, b *frameBuffer, off int, wait bool) (int, error) {
	w := rawWriters.Get().(*rawWriter)
	w.pieces, w.n, w.err, w.wait = b.pieces(w.pieces[:0], off), 0, nil, wait
	err := raw.Write(w.fn)
	if err == nil {
		err = w.err
	}
	n := w.n
	clear(w.pieces)
	rawWriters.Put(w)
	return n, err
}

func ignoringEINTR(fd int, p []byte, op func(int, []byte) (int, error)) (int, error) {
	for {
		n, err := op(fd, p)
		if err != syscall.EINTR {
			return n, err
		}
	}
}
