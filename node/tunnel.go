package node

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// tunnel is a WebSocket between a client and the node that owns its session. Bytes
// pass as they are. It outlives the request: nothing of that is kept, so that one
// costs two goroutines and two small buffers.
type tunnel struct {
	client net.Conn
	owner  io.ReadWriteCloser // a connection of the transport
	early  []byte             // what came with the client's request

	first  atomic.Bool // one direction has ended
	cancel context.CancelFunc
}

const (
	tunnelBuffer = 4 << 10
	tunnelStall  = 10 * time.Second // in which a client takes nothing (HRD-35)
	tunnelEnd    = 2 * time.Second  // from the end of one direction to that of the other
)

// tunnel passes the owner's 101 on and connects both ends.
func (h *handover) tunnel(res *http.Response, cancel context.CancelFunc) {
	owner, ok := res.Body.(io.ReadWriteCloser)
	var conn net.Conn
	var rw *bufio.ReadWriter
	err := errors.ErrUnsupported
	if ok {
		conn, rw, err = http.NewResponseController(h.w).Hijack()
	}
	if err != nil {
		h.f.cut.Add(1)
		h.f.srv.log.Debug("forwarding a WebSocket", "error", err)
		_ = res.Body.Close()
		cancel()
		h.done()
		http.Error(h.w, "Upgrade not possible", http.StatusInternalServerError)
		return
	}
	h.f.forwarded.Add(1)
	h.f.upgraded.Store(int64(time.Since(h.f.srv.epoch)))
	t := &tunnel{client: conn, owner: owner, early: buffered(rw.Reader), cancel: cancel}
	head := h.switching(res)
	f, tasks := h.f, &h.f.srv.tasks
	stop := context.AfterFunc(f.srv.starting, t.close)
	tasks.Go(func() { // both end with the connection of either end, or with Shutdown
		up := make(chan struct{})
		tasks.Go(func() {
			defer close(up)
			t.up()
		})
		t.down(head)
		<-up
		stop()
		t.close()
		f.now.Add(-1)
	})
}

// switching is the head of the owner's 101 for the client.
func (h *handover) switching(res *http.Response) []byte {
	header := h.w.Header().Clone()
	copyEndToEnd(header, res.Header)
	header["Connection"], header["Upgrade"] = []string{"Upgrade"}, []string{"websocket"}
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	_ = header.Write(&b)
	b.WriteString("\r\n")
	return b.Bytes()
}

// buffered returns a copy of what a reader has read ahead.
func buffered(r *bufio.Reader) []byte {
	b, _ := r.Peek(r.Buffered())
	return bytes.Clone(b)
}

// up carries what the client sends. The owner says how fast: while it does not read,
// the client is not read either (HRD-48).
func (t *tunnel) up() {
	_, err := t.owner.Write(t.early)
	t.early = nil
	if err == nil {
		err = pass(t.owner, t.client)
	}
	t.ended(err, t.owner)
}

// down carries what the owner sends, after the head of the answer. A client that
// takes nothing for too long is cut.
func (t *tunnel) down(head []byte) {
	w := stallWriter{t.client}
	_, err := w.Write(head)
	if err == nil {
		err = pass(w, t.owner)
	}
	t.ended(err, t.client)
}

// stallWriter gives each write a time.
type stallWriter struct{ net.Conn }

func (w stallWriter) Write(p []byte) (int, error) {
	_ = w.SetWriteDeadline(time.Now().Add(tunnelStall))
	return w.Conn.Write(p)
}

// pass copies through a small buffer: most tunnels are idle most of the time. It
// returns nil at the end of r.
func pass(w io.Writer, r io.Reader) error {
	b := make([]byte, tunnelBuffer)
	for {
		n, err := r.Read(b)
		if n > 0 {
			if _, err := w.Write(b[:n]); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// ended is called at the end of a direction that wrote to w. After an orderly end
// the other one has a moment: close frames are answered.
func (t *tunnel) ended(err error, w io.Writer) {
	if cw, ok := w.(interface{ CloseWrite() error }); ok && err == nil && t.first.CompareAndSwap(false, true) {
		if cw.CloseWrite() == nil {
			time.AfterFunc(tunnelEnd, t.close)
			return
		}
	}
	t.close()
}

func (t *tunnel) close() {
	_ = t.client.Close()
	_ = t.owner.Close()
	t.cancel()
}
