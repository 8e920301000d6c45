package gateway

import (
	"bytes"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// systemd hands sockets over by name, or in order, and hears how things are.
func TestSystemd(t *testing.T) {
	const first = 700 // descriptors in a row, which nobody else has
	for i := range 2 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		f, err := ln.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		_ = ln.Close()
		if err := syscall.Dup3(int(f.Fd()), first+i, syscall.O_CLOEXEC); err != nil { // takeSockets closes it
			t.Fatal(err)
		}
		_ = f.Close()
	}
	s, err := takeSockets(first, 2, []string{"admin", "clients"})
	if err != nil {
		t.Fatal(err)
	}
	admin := s.take(adminRole)
	if admin == nil || s[clientsRole] == nil || s.take(peersRole) != nil {
		t.Fatal(s)
	}
	_ = admin.Close()
	if err := s.none(); err == nil || !strings.Contains(err.Error(), clientsRole) {
		t.Error("a socket that nobody takes:", err)
	}

	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	if err := notify("RELOADING=1" + monotonic()); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 200)
	_ = c.SetReadDeadline(time.Now().Add(patience))
	n, err := c.Read(buf)
	if err != nil || !bytes.HasPrefix(buf[:n], []byte("RELOADING=1\nMONOTONIC_USEC=")) {
		t.Errorf("%q %v", buf[:n], err)
	}
	t.Setenv("WATCHDOG_USEC", "3000000")
	t.Setenv("WATCHDOG_PID", "1")
	if watchdogPeriod() != 0 {
		t.Error("another's watchdog")
	}
	t.Setenv("WATCHDOG_PID", "")
	if got := watchdogPeriod(); got != 1500*time.Millisecond {
		t.Error(got)
	}
}
