//go:build linux

package main

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// pins says which CPU the server and the driver run on: 0 and 1. With fewer
// CPUs than two nothing is pinned.
type pins struct {
	cpus int
	all  unix.CPUSet
}

// newPins locks the calling goroutine, the only one that does work, to its
// thread.
func newPins() (pins, error) {
	runtime.LockOSThread()
	p := pins{cpus: runtime.NumCPU()}
	if err := unix.SchedGetaffinity(0, &p.all); err != nil {
		return p, fmt.Errorf("affinity: %w", err)
	}
	return p, nil
}

func (p pins) serverList() string {
	if p.cpus < 2 {
		return ""
	}
	return "0"
}

func (p pins) driver() error {
	if p.cpus < 2 {
		return nil
	}
	var set unix.CPUSet
	set.Set(1)
	return unix.SchedSetaffinity(0, &set)
}

// release lets the driver, and what it starts, run anywhere.
func (p pins) release() error { return unix.SchedSetaffinity(0, &p.all) }
