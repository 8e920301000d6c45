//go:build !linux

package gateway

// monotonic is for systemd.
func monotonic() string { return "" }
