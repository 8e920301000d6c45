package engine

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fanwire/fanwire/protocol/engineio"
)

const (
	websocketError  = "websocket error"
	writeBufferSize = 4096
	maxCoalesced    = 64 << 10
)

var (
	writeBuffers sync.Pool // gorilla's; an idle connection holds none
	readBuffers  = sync.Pool{New: func() any { return new(bytes.Buffer) }}
)

// wsConn is a WebSocket. One goroutine reads; one at a time writes.
type wsConn struct {
	*websocket.Conn
	net    *coalescer
	behind bool        // gorilla does TLS above net, for a proxy: nothing is read in place
	stop   func() bool // of what closes the connection while it is being opened
}

// dialWebSocket opens a WebSocket for the session, or for a new one. The reading
// of the server's answer ends with ctx, too, which gorilla does not see to.
func (c *Conn) dialWebSocket(ctx context.Context) (*wsConn, error) {
	ws := new(wsConn)
	defer func() {
		if ws.stop != nil {
			ws.stop()
		}
	}()
	u := c.target(WebSocket)
	dialer := websocket.Dialer{
		NetDialContext:    ws.dial(ctx, &c.cfg),
		TLSClientConfig:   c.cfg.TLS,
		Jar:               c.cfg.HTTP.Jar,
		Subprotocols:      c.cfg.Protocols,
		EnableCompression: c.cfg.Deflate,
		ReadBufferSize:    1, // the smallest that gorilla takes: our connection buffers below it
		WriteBufferSize:   writeBufferSize,
		WriteBufferPool:   &writeBuffers,
	}
	proxy, err := c.proxy(u)
	if err != nil {
		return nil, transportError(websocketError, err)
	}
	if proxy != nil {
		dialer.Proxy = http.ProxyURL(proxy)
		ws.behind = u.Scheme == "https"
	} else {
		dialer.NetDialTLSContext = ws.dialTLS(ctx, &c.cfg)
	}
	u.Scheme = map[string]string{"http": "ws", "https": "wss"}[u.Scheme]
	conn, res, err := dialer.DialContext(context.WithoutCancel(ctx), u.String(), c.header(WebSocket))
	if err != nil {
		return nil, dialError(ctx, res, err)
	}
	ws.Conn = conn
	ws.net.in.framed()
	conn.SetReadLimit(int64(c.cfg.MaxMessage))
	conn.SetCloseHandler(func(int, string) error { return nil }) // the flusher writes, nobody else
	conn.SetPingHandler(func(data string) error {
		c.push([]item{{Frame: Frame{Data: []byte(data)}, control: controlPong}})
		return nil
	})
	return ws, nil
}

func dialError(ctx context.Context, res *http.Response, err error) error {
	if ctx.Err() != nil {
		return transportError(websocketError, ctx.Err())
	}
	if res == nil || !errors.Is(err, websocket.ErrBadHandshake) {
		return transportError(websocketError, err)
	}
	body, _ := io.ReadAll(res.Body) // gorilla has limited it
	return refusal(websocketError, res.StatusCode, body)
}

// openWebSocket opens a new session; ctx bounds it.
func (c *Conn) openWebSocket(ctx context.Context) error {
	ws, err := c.dialWebSocket(ctx)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { ws.Close() })
	_, data, err := ws.ReadMessage()
	if err == nil {
		err = c.openPacket(data)
	}
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		ws.Close()
		return transportError(websocketError, err)
	}
	c.ws = ws
	return nil
}

// proxy returns the proxy to use for a WebSocket at u, whose scheme is http or
// https.
func (c *Conn) proxy(u *url.URL) (*url.URL, error) {
	if c.cfg.Proxy == nil {
		return nil, nil
	}
	return c.cfg.Proxy(&http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: make(http.Header)})
}

// readWebSocket reads one message and handles it.
func (c *Conn) readWebSocket(ws *wsConn) {
	data, binary, borrowed, err := ws.read(c.cfg.MaxMessage)
	switch {
	case err != nil:
		c.lost(err)
	case binary:
		c.receive(engineio.Packet{Type: engineio.Message, Binary: true, Data: data}, borrowed)
	default:
		c.receiveText(data, borrowed)
	}
}

// read returns the next message: borrowed, which is valid until the next call, or
// in a slice of its own. gorilla's read limit counts what is on the wire, this one
// what was inflated.
func (ws *wsConn) read(limit int) (data []byte, binary, borrowed bool, err error) {
	if !ws.behind {
		data, binary, plain, err := ws.net.in.message(limit)
		if plain || err != nil {
			return data, binary, true, err
		}
	}
	kind, r, err := ws.NextReader()
	if err != nil {
		return nil, false, false, err
	}
	buf := readBuffers.Get().(*bytes.Buffer)
	defer readBuffers.Put(buf)
	buf.Reset()
	if _, err := buf.ReadFrom(io.LimitReader(r, int64(limit)+1)); err != nil {
		return nil, false, false, err
	}
	if buf.Len() > limit {
		return nil, false, false, websocket.ErrReadLimit
	}
	if data = bytes.Clone(buf.Bytes()); buf.Cap() > maxCoalesced {
		*buf = bytes.Buffer{}
	}
	return data, kind == websocket.BinaryMessage, false, nil
}

// lost ends the session after a failed read. As in the official client only a
// breach of the WebSocket protocol is an error (SIO-X-05); a connection that
// breaks, with or without a close frame, is closed.
func (c *Conn) lost(err error) {
	var closed *websocket.CloseError
	var network net.Error
	switch {
	case errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure:
		c.answerClose()
		c.end(ReasonTransportClose, err)
	case closed != nil, errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrUnexpectedEOF):
		c.end(ReasonTransportClose, err)
	default:
		c.end(ReasonTransportError, transportError(websocketError, err))
	}
}

// answerClose sends our close frame in answer to the server's (EIO-W-10), unless
// it has been sent or the writer is stuck: the TCP connection goes down in any
// case.
func (c *Conn) answerClose() {
	c.mu.Lock()
	ws, closing := c.ws, c.closing
	c.paused = true
	c.mu.Unlock()
	limit := time.NewTimer(time.Second)
	defer limit.Stop()
	if !closing && c.waitIdle(limit.C) {
		_ = ws.WriteControl(websocket.CloseMessage, nil, time.Now().Add(time.Second))
	}
}

// writeWebSocket writes a batch with as few system calls as it takes.
func (c *Conn) writeWebSocket(ws *wsConn, batch []item) {
	ws.net.hold()
	var err error
	for _, i := range batch {
		if err = c.write(ws, i); err != nil {
			break
		}
	}
	if e := ws.net.release(); err == nil {
		err = e
	}
	if err != nil {
		c.end(ReasonTransportClose, err)
	}
}

func (c *Conn) write(ws *wsConn, i item) error {
	switch {
	case i.control == controlClose:
		return ws.WriteControl(websocket.CloseMessage, nil, time.Time{})
	case i.control == controlPong:
		return ws.WriteControl(websocket.PongMessage, i.Data, time.Time{})
	}
	if c.cfg.Deflate {
		ws.EnableWriteCompression(!i.Plain && len(i.Data) >= c.cfg.DeflateFrom)
	}
	switch {
	case i.Binary && c.cfg.ForceBase64:
		p := engineio.Packet{Type: engineio.Message, Binary: true, Data: i.Data}
		return ws.WriteMessage(websocket.TextMessage, engineio.AppendText(nil, p))
	case i.Binary:
		return ws.WriteMessage(websocket.BinaryMessage, i.Data)
	}
	return ws.WriteMessage(websocket.TextMessage, i.Data)
}

// dial returns a function that makes connections for gorilla. The connection is
// wrapped, and closed when ctx ends before ws.stop is called.
func (ws *wsConn) dial(ctx context.Context, cfg *Config) dialFunc {
	return func(_ context.Context, network, addr string) (net.Conn, error) {
		conn, err := ws.connect(ctx, cfg, network, addr)
		if err != nil {
			return nil, err
		}
		return ws.wrap(conn, cfg), nil
	}
}

// dialTLS is dial with TLS below what is wrapped, so that reading ahead reads
// plain text.
func (ws *wsConn) dialTLS(ctx context.Context, cfg *Config) dialFunc {
	return func(_ context.Context, network, addr string) (net.Conn, error) {
		conn, err := ws.connect(ctx, cfg, network, addr)
		if err != nil {
			return nil, err
		}
		options := cfg.TLS.Clone()
		if options == nil {
			options = new(tls.Config)
		}
		if options.ServerName == "" {
			if options.ServerName, _, err = net.SplitHostPort(addr); err != nil {
				options.ServerName = addr
			}
		}
		secure := tls.Client(conn, options)
		if err := secure.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, err
		}
		return ws.wrap(secure, cfg), nil
	}
}

func (ws *wsConn) connect(ctx context.Context, cfg *Config, network, addr string) (net.Conn, error) {
	f := cfg.DialContext
	if f == nil {
		f = new(net.Dialer).DialContext
	}
	conn, err := f(ctx, network, addr)
	if err == nil {
		ws.stop = context.AfterFunc(ctx, func() { conn.Close() })
	}
	return conn, err
}

func (ws *wsConn) wrap(conn net.Conn, cfg *Config) net.Conn {
	ws.net = &coalescer{Conn: conn}
	if !ws.behind {
		ws.net.in.init(conn, cfg.ReadBuffer)
	}
	return ws.net
}

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// coalescer joins writes between hold and release, and reads ahead.
type coalescer struct {
	net.Conn
	in input // reader only

	mu   sync.Mutex
	held bool
	buf  []byte
}

func (w *coalescer) Read(p []byte) (int, error) {
	if w.in.conn == nil {
		return w.Conn.Read(p)
	}
	return w.in.Read(p)
}

func (w *coalescer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.held {
		return w.Conn.Write(p)
	}
	w.buf = append(w.buf, p...)
	if len(w.buf) < maxCoalesced {
		return len(p), nil
	}
	_, err := w.Conn.Write(w.buf)
	w.buf = w.buf[:0]
	return len(p), err
}

func (w *coalescer) hold() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held = true
}

// release writes what was held back. An idle connection keeps no buffer.
func (w *coalescer) release() (err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.buf) > 0 {
		_, err = w.Conn.Write(w.buf)
	}
	w.held, w.buf = false, nil
	return err
}
