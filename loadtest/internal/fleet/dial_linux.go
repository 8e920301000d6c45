package fleet

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// lateBind lets the kernel choose the port when the connection is made: then ports are
// scarce for each target, not for each local address. Old kernels do without.
func lateBind(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	})
}

// RaiseFiles lifts the limit of open files as far as the process may, and returns it.
func RaiseFiles() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	if limit.Cur < limit.Max {
		higher := unix.Rlimit{Cur: limit.Max, Max: limit.Max}
		if unix.Setrlimit(unix.RLIMIT_NOFILE, &higher) == nil {
			limit = higher
		}
	}
	return int(min(limit.Cur, 1<<30))
}
