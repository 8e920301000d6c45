package gateway

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// What systemd tells a service and wants to hear of it: sd_listen_fds(3) and
// sd_notify(3). Without systemd all of it does nothing.

// sockets are the listeners that systemd has opened for us, by the role that they
// are for.
type sockets map[string]net.Listener

const firstSocket = 3

// activated takes the sockets over. Their FileDescriptorName= is the role; without
// one the first is for clients and the second for the admin listener.
func activated() (sockets, error) {
	pid, count, names := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES")
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		_ = os.Unsetenv(name) // they are not for our children
	}
	if pid != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 || n > 16 {
		return nil, fmt.Errorf("systemd: LISTEN_FDS is %q", count)
	}
	return takeSockets(firstSocket, n, strings.Split(names, ":"))
}

func takeSockets(first, n int, names []string) (sockets, error) {
	found := sockets{}
	for i := range n {
		name := ""
		if i < len(names) {
			name = names[i]
		}
		switch name {
		case clientsRole, adminRole, peersRole:
		default: // "unknown", or the unit's name
			name = []string{clientsRole, adminRole, peersRole}[min(i, 2)]
		}
		f := os.NewFile(uintptr(first+i), name)
		ln, err := net.FileListener(f)
		_ = f.Close() // the listener has its own
		if err != nil {
			return nil, errors.Join(fmt.Errorf("systemd: socket %d: %w", i, err), found.close())
		}
		if found[name] != nil {
			return nil, errors.Join(fmt.Errorf("systemd: two sockets for %s", name), ln.Close(), found.close())
		}
		if u, ok := ln.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false) // the file is systemd's
		}
		found[name] = ln
	}
	return found, nil
}

// take returns the listener for a role, nil if there is none.
func (s sockets) take(role string) net.Listener {
	ln := s[role]
	delete(s, role)
	return ln
}

// none closes what nobody has taken and says so.
func (s sockets) none() error {
	for role := range s {
		return errors.Join(fmt.Errorf("systemd: a socket for %s, which is off", role), s.close())
	}
	return nil
}

func (s sockets) close() error {
	var errs []error
	for _, ln := range s {
		errs = append(errs, ln.Close())
	}
	return errors.Join(errs...)
}

// notify tells systemd how things are, as in "READY=1\nSTATUS=...".
func notify(state string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("systemd: %w", err)
	}
	defer c.Close()
	_ = c.SetWriteDeadline(time.Now().Add(time.Second))
	_, err = c.Write([]byte(state))
	return err
}

// watchdogPeriod is how often systemd wants a sign of life, at half the time after
// which it kills us; 0 if it does not.
func watchdogPeriod() time.Duration {
	if pid := os.Getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	us, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || us <= 0 {
		return 0
	}
	return time.Duration(us) * time.Microsecond / 2
}
