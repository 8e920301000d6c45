//go:build unix

// Floor is the least that a WebSocket server in Go does for the events of
// e2e/bench: gorilla upgrades and reads, answers are put together by hand, no
// session outlives anything. Frames are collected for each connection and
// written by one flusher. It shows what the machine and the driver allow; it
// is no Socket.IO server.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"sync"
	"syscall"

	"github.com/gorilla/websocket"

	"github.com/fanwire/fanwire/e2e/bench/servers/control"
)

const (
	opening  = `0{"sid":"AAAAAAAAAAAAAAAAAAAA","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`
	accepted = `40{"sid":"AAAAAAAAAAAAAAAAAAAB"}`
)

func main() {
	port := flag.Int("port", 0, "port on the loopback interface")
	profiles := flag.Bool("pprof", false, "allow profiles")
	flag.Parse()
	if err := run(*port, *profiles); err != nil {
		log.Fatal(err)
	}
}

func run(port int, profiles bool) error {
	l, err := control.Listen(port)
	if err != nil {
		return err
	}
	s := &server{wake: make(chan struct{}, 1), members: map[*conn]struct{}{}}
	s.upgrader = websocket.Upgrader{ReadBufferSize: 512, WriteBufferPool: &sync.Pool{}, CheckOrigin: func(*http.Request) bool { return true }}
	go s.flush()                         // until the process ends
	go func() { _ = http.Serve(l, s) }() // likewise
	if err := control.Serve(l, profiles, nil); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

type server struct {
	upgrader websocket.Upgrader
	wake     chan struct{}

	mu      sync.Mutex
	members map[*conn]struct{}
	list    []*conn // have output
}

type conn struct {
	ws  *websocket.Conn
	raw syscall.RawConn
	out []byte // guarded by server.mu
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ws, err := s.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	raw, err := ws.NetConn().(syscall.Conn).SyscallConn()
	if err != nil {
		_ = ws.Close()
		return
	}
	go s.read(&conn{ws: ws, raw: raw}) // ends with the connection
}

func (s *server) read(c *conn) {
	defer s.leave(c)
	s.send(c, frame(opening))
	var buf bytes.Buffer
	for {
		_, r, err := c.ws.NextReader()
		if err != nil {
			return
		}
		buf.Reset()
		if _, err := io.Copy(&buf, r); err != nil {
			return
		}
		s.handle(c, buf.Bytes())
	}
}

// handle knows the packets of the driver and nothing else.
func (s *server) handle(c *conn, p []byte) {
	switch {
	case string(p) == "40":
		s.mu.Lock()
		s.members[c] = struct{}{}
		s.mu.Unlock()
		s.send(c, frame(accepted))
	case bytes.HasPrefix(p, []byte(`42["all",`)):
		s.sendAll(frame(`42["msg",` + string(p[len(`42["all",`):])))
	case bytes.HasPrefix(p, []byte("42")):
		id, args, ok := bytes.Cut(p[2:], []byte(`["echo",`))
		if ok {
			s.send(c, frame("43"+string(id)+"["+string(args)))
		}
	}
}

func frame(text string) []byte {
	if len(text) < 126 {
		return append([]byte{0x81, byte(len(text))}, text...)
	}
	return append([]byte{0x81, 126, byte(len(text) >> 8), byte(len(text))}, text...)
}

func (s *server) send(c *conn, b []byte) {
	s.mu.Lock()
	s.sendLocked(c, b)
	s.mu.Unlock()
	s.signal()
}

func (s *server) sendAll(b []byte) {
	s.mu.Lock()
	for c := range s.members {
		s.sendLocked(c, b)
	}
	s.mu.Unlock()
	s.signal()
}

func (s *server) sendLocked(c *conn, b []byte) {
	if len(c.out) == 0 {
		s.list = append(s.list, c)
	}
	c.out = append(c.out, b...)
}

func (s *server) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// flush writes each connection's frames with one call. What the kernel does
// not take waits for the next round.
func (s *server) flush() {
	var batch []*conn
	var spare []byte
	for range s.wake {
		s.mu.Lock()
		batch, s.list = s.list, batch[:0]
		s.mu.Unlock()
		for _, c := range batch {
			s.mu.Lock()
			b := c.out
			c.out = spare[:0]
			s.mu.Unlock()
			n := write(c.raw, b)
			s.mu.Lock()
			if n < len(b) {
				if len(c.out) == 0 {
					s.list = append(s.list, c)
				}
				c.out = append(b[:copy(b, b[n:])], c.out...)
				b = nil
			} else if len(c.out) == 0 {
				c.out = nil
			}
			s.mu.Unlock()
			spare = b
		}
		s.mu.Lock()
		if len(s.list) > 0 {
			s.signal()
		}
		s.mu.Unlock()
	}
}

func write(raw syscall.RawConn, b []byte) (n int) {
	err := raw.Write(func(fd uintptr) bool {
		n, _ = syscall.Write(int(fd), b)
		return true
	})
	if err != nil {
		return len(b) // gone
	}
	return max(n, 0)
}

func (s *server) leave(c *conn) {
	s.mu.Lock()
	delete(s.members, c)
	s.mu.Unlock()
	if err := c.ws.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		fmt.Fprintln(os.Stderr, err)
	}
}
