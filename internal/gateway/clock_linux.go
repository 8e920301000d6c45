package gateway

import (
	"strconv"
	"syscall"
	"unsafe"
)

// monotonic is the time of CLOCK_MONOTONIC in the form of sd_notify(3), which wants
// it with RELOADING=1.
func monotonic() string {
	var t syscall.Timespec
	_, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, 1, uintptr(unsafe.Pointer(&t)), 0)
	if errno != 0 {
		return ""
	}
	return "\nMONOTONIC_USEC=" + strconv.FormatInt(t.Nano()/1000, 10)
}
