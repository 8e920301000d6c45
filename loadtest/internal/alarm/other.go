//go:build !linux

package alarm

func newClock() clock { return newTimer() }
