//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

type state uint8

const (
	stateConnecting state = iota // TCP
	stateUpgrading               // waits for the 101
	stateOpening                 // waits for the Engine.IO and Socket.IO handshakes
	stateJoined
	stateLeaving // has asked to be closed
	stateClosed
)

// client is one raw connection: a WebSocket without a library.
type client struct {
	fd    int
	id    int
	port  int
	state state
	in    []byte // the start of a frame whose rest has not come
	out   []byte // what the kernel has not taken
	next  uint64 // sequence number of the next message, counted by the scenario
	sent  uint64
	room  int
}

// sources is how many loopback addresses the clients come from, so that ports
// do not run out.
const sources = 16

// upgradeRequest opens an Engine.IO session by WebSocket (EIO-W-01), with the
// headers of the official client under Node.js.
const upgradeRequest = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n" +
	"Host: 127.0.0.1:%d\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
	"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"

// dial begins to connect; started is called when the namespace is joined.
func (l *loop) dial(id, port int) (*client, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	c := &client{fd: fd, id: id, port: port}
	if err := l.connect(c); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("client %d: connect: %w", id, err)
	}
	for len(l.clients) <= fd {
		l.clients = append(l.clients, nil)
	}
	l.clients[fd] = c
	return c, nil
}

func (l *loop) connect(c *client) error {
	source := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, byte(2 + c.id%sources)}}
	err := errors.Join(
		unix.SetsockoptInt(c.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		unix.SetsockoptInt(c.fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1),
		unix.Bind(c.fd, source))
	if err != nil {
		return err
	}
	err = unix.Connect(c.fd, &unix.SockaddrInet4{Port: c.port, Addr: [4]byte{127, 0, 0, 1}})
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return err
	}
	return unix.EpollCtl(l.ep, unix.EPOLL_CTL_ADD, c.fd,
		&unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT, Fd: int32(c.fd)})
}

func (l *loop) upgrade(c *client) error {
	if errno, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil || errno != 0 {
		return fmt.Errorf("client %d: connect: %w", c.id, errors.Join(err, unix.Errno(errno)))
	}
	c.state = stateUpgrading
	if err := l.watch(c, unix.EPOLLIN); err != nil {
		return err
	}
	return l.send(c, fmt.Appendf(nil, upgradeRequest, c.port))
}

// consume hands over what data holds and tells how much of it.
func (l *loop) consume(c *client, data []byte) (used int, err error) {
	if c.state == stateUpgrading {
		end := bytes.Index(data, []byte("\r\n\r\n"))
		if end < 0 {
			return 0, nil
		}
		if !bytes.HasPrefix(data, []byte("HTTP/1.1 101 ")) {
			return 0, fmt.Errorf("upgrade refused: %.200q", data)
		}
		c.state = stateOpening
		used = end + 4
	}
	for {
		opcode, payload, n, err := nextFrame(data[used:])
		if err != nil || n == 0 {
			return used, err
		}
		used += n
		if err := l.frame(c, opcode, payload); err != nil || c.state == stateClosed {
			return used, err
		}
	}
}

func (l *loop) frame(c *client, opcode byte, payload []byte) error {
	switch {
	case opcode == opClose && c.state == stateLeaving:
		return nil
	case opcode != opText || len(payload) == 0:
		return fmt.Errorf("unexpected frame, opcode %d: %.100q", opcode, payload)
	}
	switch payload[0] {
	case '4':
		if c.state == stateOpening {
			return l.accepted(c, payload)
		}
		return l.scenario.packet(c, payload[1:])
	case '2':
		return l.send(c, framePong)
	case '0':
		return l.send(c, frameConnect)
	}
	return fmt.Errorf("unexpected packet %.100q", payload)
}

func (l *loop) accepted(c *client, payload []byte) error {
	if !bytes.HasPrefix(payload, []byte(`40{"sid":"`)) {
		return fmt.Errorf("not accepted: %.100q", payload)
	}
	c.state = stateJoined
	if l.started == nil {
		return nil
	}
	return l.started(c)
}

// connectAll opens n clients, at most parallel of them under way at a time,
// client i at ports[i%len(ports)].
func (l *loop) connectAll(n, parallel int, ports []int) ([]*client, error) {
	clients := make([]*client, 0, n)
	joined := 0
	l.started = func(*client) error { joined++; return nil }
	defer func() { l.started = nil }()
	err := l.run(
		func() bool { return joined == n },
		func() (time.Duration, error) {
			for len(clients) < n && len(clients)-joined < parallel {
				c, err := l.dial(len(clients), ports[len(clients)%len(ports)])
				if err != nil {
					return 0, err
				}
				clients = append(clients, c)
			}
			return time.Second, nil
		})
	if err != nil {
		return nil, fmt.Errorf("%d of %d clients connected: %w", joined, n, err)
	}
	return clients, nil
}

// leave says goodbye as the official client does: DISCONNECT and a WebSocket
// close frame. The server ends the connection.
func (l *loop) leave(c *client) error {
	c.state = stateLeaving
	return l.send(c, frameLeave)
}
