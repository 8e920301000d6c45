//go:build !unix

package engine

import (
	"errors"
	"net"
	"sync"
	"syscall"
)

// readBuffer is not used where descriptors cannot be read without blocking.
type readBuffer struct {
	data     [1]byte
	from, to int
}

var readBuffers sync.Pool

// Without a way to write that does not block, every write is done by a goroutine
// of the session.
func rawOf(net.Conn) syscall.RawConn { return nil }

func (c *wsConn) readReady(uintptr) bool { return true }

func writeRaw(syscall.RawConn, *frameBuffer, int, bool) (int, error) {
	return 0, errors.ErrUnsupported
}
