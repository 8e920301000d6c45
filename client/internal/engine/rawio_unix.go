//go:build unix

package engine

import (
	"io"
	"net"
	"syscall"
)

// rawOf returns the descriptor of a connection, on which one can wait without a
// buffer; nil if it has none, as under TLS.
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

// readReady reads once the descriptor has something; an empty buffer is given
// back meanwhile. It is called by RawConn.Read.
func (in *input) readReady(fd uintptr) bool {
	if in.buf == nil {
		in.buf = takeBuffer(in.size)
	}
	n, err := syscall.Read(int(fd), (*in.buf)[in.to:])
	for err == syscall.EINTR {
		n, err = syscall.Read(int(fd), (*in.buf)[in.to:])
	}
	switch {
	case err == syscall.EAGAIN:
		if in.to == 0 {
			in.release()
		}
		return false
	case err != nil:
		in.err = &net.OpError{Op: "read", Net: "tcp", Err: err}
	case n == 0:
		in.err = io.EOF
	}
	in.to += max(n, 0)
	return true
}
