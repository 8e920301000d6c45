//go:build !unix

package engine

import (
	"net"
	"syscall"
)

func rawOf(net.Conn) syscall.RawConn { return nil }

func (in *input) readReady(uintptr) bool { return true }
