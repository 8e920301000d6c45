//go:build faults

package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
)

// raw is a client that speaks just enough of the wire to be counted: thousands of
// them cost little. It answers pings and counts what it reads.
type raw struct {
	ws     *websocket.Conn
	events atomic.Int64
	bytes  atomic.Int64
	ended  chan struct{} // closed when reading has ended
	err    error         // why; after ended
	write  sync.Mutex
}

var rawDialer = websocket.Dialer{HandshakeTimeout: 20 * time.Second}

// dialRaw opens a session and joins the namespace "/".
func dialRaw(ctx context.Context, url string, d *websocket.Dialer) (*raw, error) {
	ws, res, err := d.DialContext(ctx, "ws"+strings.TrimPrefix(url, "http")+"/socket.io/?EIO=4&transport=websocket", nil)
	if err != nil {
		if res != nil {
			err = fmt.Errorf("%w: %s", err, res.Status)
		}
		return nil, err
	}
	c := &raw{ws: ws, ended: make(chan struct{})}
	_ = ws.SetReadDeadline(time.Now().Add(20 * time.Second))
	for _, want := range []string{"0", "40"} {
		if want == "40" {
			err = c.send("40")
		}
		var data []byte
		if err == nil {
			_, data, err = ws.ReadMessage()
		}
		if err == nil && !strings.HasPrefix(string(data), want) {
			err = fmt.Errorf("got %.80q", data)
		}
		if err != nil {
			_ = ws.Close()
			return nil, err
		}
	}
	_ = ws.SetReadDeadline(time.Time{})
	return c, nil
}

func (c *raw) send(text string) error {
	c.write.Lock()
	defer c.write.Unlock()
	_ = c.ws.SetWriteDeadline(time.Now().Add(20 * time.Second))
	return c.ws.WriteMessage(websocket.TextMessage, []byte(text))
}

// run reads until the end of the connection.
func (c *raw) run() {
	defer close(c.ended)
	defer c.ws.Close()
	for {
		_, r, err := c.ws.NextReader()
		if err != nil {
			c.err = err
			return
		}
		var head [2]byte
		n, _ := io.ReadFull(r, head[:])
		rest, err := io.Copy(io.Discard, r)
		if err != nil {
			c.err = err
			return
		}
		switch string(head[:n]) {
		case "2":
			_ = c.send("3")
		case "42":
			c.events.Add(1)
			c.bytes.Add(rest)
		}
	}
}

// smallReceiver dials with a receive buffer so small that a client which does not
// read is noticed soon.
func smallReceiver() *websocket.Dialer {
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10) })
	}}
	return &websocket.Dialer{HandshakeTimeout: 20 * time.Second, NetDialContext: d.DialContext}
}

// inParallel runs f for 0 to n-1, width of them at a time, and returns the errors.
func inParallel(n, width int, f func(i int) error) error {
	slots, errs := make(chan struct{}, width), make(chan error, n)
	for i := range n {
		slots <- struct{}{}
		go func() { // awaited below
			defer func() { <-slots }()
			errs <- f(i)
		}()
	}
	var all []error
	for range n {
		if err := <-errs; err != nil {
			all = append(all, err)
		}
	}
	if len(all) > 0 {
		return fmt.Errorf("%d of %d: %w", len(all), n, errors.Join(all[:min(len(all), 3)]...))
	}
	return nil
}
