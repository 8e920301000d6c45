//go:build unix

package listener

import "syscall"

// fileLimit is the number of files that the process may open. Go has raised the
// soft limit to the hard one at start.
func fileLimit() uint64 {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return unlimitedFiles
	}
	return uint64(r.Cur) //nolint:unconvert // int64 on some systems
}

// readFD reads what is there; the descriptor is in non-blocking mode.
func readFD(fd uintptr, p []byte) int {
	n, err := syscall.Read(int(fd), p)
	if err != nil {
		return 0
	}
	return n
}
