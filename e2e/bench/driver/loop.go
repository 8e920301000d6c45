//go:build linux

package main

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

const (
	readBuffer = 1 << 20
	// stallAfter is how long a run may wait without a byte from the server
	// before it is given up as incomplete.
	stallAfter = 20 * time.Second
)

// errStalled says that the server stopped sending before the run was complete.
var errStalled = errors.New("the server has gone silent")

// scenario is what a run does with the packets that arrive.
type scenario interface {
	// packet takes one Engine.IO message without its leading "4". p is valid
	// during the call only.
	packet(c *client, p []byte) error
	// flushed is called when all that one read brought has been handed over.
	flushed(c *client) error
	// closed is called when the server has ended the connection.
	closed(c *client) error
}

// loop drives all clients of a run from one thread: epoll, one large read
// buffer, no goroutine and no decoding. It is not safe for concurrent use.
type loop struct {
	ep       int
	clients  []*client // by file descriptor
	events   []unix.EpollEvent
	buf      []byte
	scenario scenario
	started  func(*client) error // a client is connected to the namespace
	progress time.Time           // when a read last brought something
	reads    uint64              // that brought something
}

func newLoop() (*loop, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &loop{
		ep:       ep,
		events:   make([]unix.EpollEvent, 1024),
		buf:      make([]byte, readBuffer),
		scenario: ignore{},
		progress: time.Now(),
	}, nil
}

// close drops every connection at once.
func (l *loop) close() {
	for _, c := range l.clients {
		if c != nil {
			l.drop(c)
		}
	}
	_ = unix.Close(l.ep)
}

func (l *loop) drop(c *client) {
	l.clients[c.fd] = nil
	_ = unix.Close(c.fd)
	c.state = stateClosed
}

// run polls until done says so. After each poll it calls between, which may
// be nil and returns how long the next poll may wait.
func (l *loop) run(done func() bool, between func() (time.Duration, error)) error {
	l.progress = time.Now()
	wait := time.Second
	for !done() {
		if between != nil {
			var err error
			if wait, err = between(); err != nil {
				return err
			}
		}
		if err := l.poll(wait); err != nil {
			return err
		}
		if time.Since(l.progress) > stallAfter {
			return errStalled
		}
	}
	return nil
}

// idle serves heartbeats for d.
func (l *loop) idle(d time.Duration) error {
	end := time.Now().Add(d)
	return l.run(
		func() bool { return !time.Now().Before(end) },
		func() (time.Duration, error) {
			l.progress = time.Now()
			return min(time.Until(end), time.Second), nil
		})
}

// poll waits at most d, rounded up to milliseconds, and serves what is ready.
func (l *loop) poll(d time.Duration) error {
	ms := int((max(d, 0) + time.Millisecond - 1) / time.Millisecond)
	n, err := unix.EpollWait(l.ep, l.events, ms)
	if errors.Is(err, unix.EINTR) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	if n > 0 {
		l.progress = time.Now()
	}
	for i := range n {
		if err := l.ready(&l.events[i]); err != nil {
			return err
		}
	}
	return nil
}

func (l *loop) ready(e *unix.EpollEvent) error {
	c := l.clients[e.Fd]
	if c == nil {
		return nil
	}
	if e.Events&unix.EPOLLOUT != 0 {
		if err := l.writable(c); err != nil {
			return err
		}
	}
	if c.state == stateClosed || e.Events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLERR) == 0 {
		return nil
	}
	return l.readable(c)
}

func (l *loop) readable(c *client) error {
	held := copy(l.buf, c.in)
	n, err := unix.Read(c.fd, l.buf[held:])
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return nil
	case err != nil, n == 0:
		return l.ended(c, err)
	}
	l.reads++
	data := l.buf[:held+n]
	used, err := l.consume(c, data)
	if err != nil {
		return fmt.Errorf("client %d: %w", c.id, err)
	}
	if c.state == stateClosed {
		return nil
	}
	c.in = append(c.in[:0], data[used:]...)
	return l.scenario.flushed(c)
}

func (l *loop) ended(c *client, cause error) error {
	before := c.state
	l.drop(c)
	if before == stateConnecting || before == stateUpgrading || before == stateOpening {
		return fmt.Errorf("client %d: connection ended during the handshake: %v", c.id, cause)
	}
	return l.scenario.closed(c)
}

// send writes what the kernel takes now and keeps the rest for later.
func (l *loop) send(c *client, b []byte) error {
	if len(c.out) > 0 {
		c.out = append(c.out, b...)
		return nil
	}
	n, err := unix.Write(c.fd, b)
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		return fmt.Errorf("client %d: write: %w", c.id, err)
	}
	if n = max(n, 0); n == len(b) {
		return nil
	}
	c.out = append(c.out, b[n:]...)
	return l.watch(c, unix.EPOLLIN|unix.EPOLLOUT)
}

func (l *loop) writable(c *client) error {
	if c.state == stateConnecting {
		return l.upgrade(c)
	}
	n, err := unix.Write(c.fd, c.out)
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		return fmt.Errorf("client %d: write: %w", c.id, err)
	}
	c.out = c.out[:copy(c.out, c.out[max(n, 0):])]
	if len(c.out) > 0 {
		return nil
	}
	return l.watch(c, unix.EPOLLIN)
}

func (l *loop) watch(c *client, events uint32) error {
	return unix.EpollCtl(l.ep, unix.EPOLL_CTL_MOD, c.fd, &unix.EpollEvent{Events: events, Fd: int32(c.fd)})
}

// ignore is the scenario of clients that only stay.
type ignore struct{}

func (ignore) packet(*client, []byte) error { return nil }
func (ignore) flushed(*client) error        { return nil }
func (ignore) closed(c *client) error       { return closedError{c.id} }

// closedError says that the server ended a connection that should stay.
type closedError struct{ client int }

func (e closedError) Error() string { return fmt.Sprintf("client %d: closed by the server", e.client) }
