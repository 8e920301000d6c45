// Package engine is the client side of Engine.IO 4: one session over polling,
// WebSocket, or polling that is upgraded. It knows nothing of namespaces and
// never reconnects; package client does both.
//
// # Goroutines
//
// [Dial] starts none. [Conn.Run] reads, in the caller's goroutine, whichever
// transport is in use, and ends when the session does. It starts the probe of an
// upgrade. Whoever queues output when nobody writes starts a flusher, which ends
// when the queue is empty. Run waits for all of them.
package engine

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanwire/fanwire/protocol/engineio"
)

// Names of the transports.
const (
	Polling   = "polling"
	WebSocket = "websocket"
)

// Reasons why a session ended, in the words of the official client.
const (
	ReasonTransportClose = "transport close"
	ReasonTransportError = "transport error"
	ReasonPingTimeout    = "ping timeout"
	ReasonParseError     = "parse error"
	ReasonForcedClose    = "forced close"
)

// ErrClosed says that the session has ended or is about to.
var ErrClosed = errors.New("connection closed")

// Config says where and how to connect. All fields but the optional ones at the
// end must be set.
type Config struct {
	URL          *url.URL // http or https, with the path of the server and the query to add
	Transports   []string // in the order of preference
	TryAll       bool     // try the next transport when one cannot be opened
	Upgrade      bool     // leave polling for WebSocket where the server offers it
	HTTP         *http.Client
	MaxMessage   int           // bytes of a WebSocket message or a poll's body
	MaxQueue     int           // bytes of output from which Wait waits
	ProbeTimeout time.Duration // for an upgrade, from dialling to the answer to the probe; not above 0: none
	CloseTimeout time.Duration // for a graceful end
	Logger       *slog.Logger

	// For WebSocket; optional.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
	Proxy       func(*http.Request) (*url.URL, error)
	TLS         *tls.Config
	Deflate     bool
	DeflateFrom int // bytes of a message from which it is compressed
	ReadBuffer  int // bytes
	Protocols   []string

	// For all transports; optional.
	Header         http.Header // added to every request
	PerTransport   map[string]Extra
	RequestTimeout time.Duration // of a request of polling; 0: none
	StampParam     string        // query parameter that defeats caches
	StampPolling   bool
	StampWebSocket bool
	ForceBase64    bool
	OwnHTTP        bool // HTTP is the session's: its idle connections are closed after an upgrade
	Observer       Observer
}

// Extra is added to the requests of one transport, and wins.
type Extra struct {
	Header http.Header
	Query  url.Values
}

// Observer hears what happens, in whichever goroutine it does; it must not block.
type Observer interface {
	// Packet hears of each packet: what Frame says of it, or the text that came.
	Packet(sent bool, data []byte, binary bool)
	Ping()
	Upgraded(transport string)
	UpgradeFailed(err error)
}

// Frame is one Engine.IO packet. Data of a text frame begins with the packet's
// type ("4..."); a binary frame is a message as it is.
type Frame struct {
	Data   []byte
	Binary bool
	Plain  bool // not to be compressed
}

// Receiver takes messages.
type Receiver interface {
	// Message takes the next message, which it may keep unless it is borrowed:
	// then it is valid during the call only. Calls come in order, from the
	// goroutine that called Run. It may block: the connection is then not read,
	// and its ping timeout does not run. An error ends the session with
	// ReasonParseError.
	Message(data []byte, binary, borrowed bool) error
}

// Conn is a session.
type Conn struct {
	// Static after Dial.
	cfg       Config
	handshake engineio.Handshake
	ctx       context.Context // ends with the session; aborts requests
	cancel    context.CancelFunc
	done      chan struct{} // closed when the session has ended

	// Used by the goroutine of Run alone.
	recv  Receiver
	early [][]byte // packets that came with the handshake

	receiving atomic.Bool    // inside Receiver.Message
	wg        sync.WaitGroup // probe and flusher; Add under mu while not ended

	mu       sync.Mutex // guards the fields below; not held during I/O
	ws       *wsConn    // the transport in use; nil while that is polling
	probed   *wsConn    // answered the probe, waits for polling to pause
	out      []item
	queued   int           // bytes in out or being written
	flushing bool          // a flusher runs
	paused   bool          // no flusher may start: an upgrade is being finished
	idle     chan struct{} // closed when the flusher has stopped; made by who waits
	room     chan struct{} // closed when queued is below the limit; made by who waits
	closing  bool          // Close was called
	ended    bool
	reason   string
	cause    error
	timer    *time.Timer // ping timeout (EIO-B-08)
	reaper   *time.Timer // bounds Close
}

// Dial opens a session: it returns when the server's handshake has arrived. The
// caller must then call Run, whatever happens.
func Dial(ctx context.Context, cfg Config) (*Conn, error) {
	err := errors.New("no transport available")
	for _, name := range cfg.Transports {
		var c *Conn
		if c, err = open(ctx, cfg, name); err == nil {
			return c, nil
		}
		if !cfg.TryAll || ctx.Err() != nil {
			break
		}
		cfg.Logger.Debug("engine: transport does not open", "transport", name, "error", err)
	}
	return nil, err
}

func open(ctx context.Context, cfg Config, transport string) (*Conn, error) {
	c := &Conn{cfg: cfg, done: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	var err error
	switch transport {
	case Polling:
		err = c.openPolling(ctx)
	case WebSocket:
		err = c.openWebSocket(ctx)
	default:
		err = errors.New("unknown transport " + transport)
	}
	if err != nil {
		c.cancel()
		return nil, err
	}
	c.armPingTimeout()
	return c, nil
}

// Run reads until the session has ended, and tells why in the official words;
// the error says more where there is more to say.
func (c *Conn) Run(recv Receiver) (reason string, err error) {
	c.recv = recv
	for _, p := range c.early {
		c.receiveText(p, false)
	}
	c.early = nil
	c.startProbe()
	for ws, ended := c.state(); !ended; ws, ended = c.state() {
		if ws != nil {
			c.readWebSocket(ws)
		} else if c.poll(); !c.isEnded() {
			c.finishUpgrade()
		}
	}
	c.wg.Wait()
	return c.reason, c.cause
}

// state returns the transport in use, nil for polling, and whether the session
// has ended.
func (c *Conn) state() (ws *wsConn, ended bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ws, c.ended
}

func (c *Conn) isEnded() bool {
	_, ended := c.state()
	return ended
}

// receiveText handles a packet in text form.
func (c *Conn) receiveText(data []byte, borrowed bool) {
	p, err := engineio.DecodeText(data)
	if err != nil {
		c.end(ReasonTransportError, &Error{Message: "server error", Err: err}) // EIO-J-06, SIO-X-15
		return
	}
	if o := c.cfg.Observer; o != nil && !p.Binary {
		o.Packet(false, data, false)
	}
	c.receive(p, borrowed && !p.Binary) // base64 is decoded into a slice of its own
}

func (c *Conn) receive(p engineio.Packet, borrowed bool) {
	o := c.cfg.Observer
	if o != nil && p.Binary {
		o.Packet(false, p.Data, true)
	}
	switch p.Type {
	case engineio.Message:
		c.deliver(p.Data, p.Binary, borrowed)
	case engineio.Ping:
		c.armPingTimeout()
		c.push([]item{{Frame: Frame{Data: pong}}})
		if o != nil {
			o.Ping()
		}
	case engineio.Close:
		c.end(ReasonTransportClose, nil) // EIO-J-05
	}
}

var pong = []byte("3")

func (c *Conn) deliver(data []byte, binary, borrowed bool) {
	c.receiving.Store(true)
	err := c.recv.Message(data, binary, borrowed)
	c.receiving.Store(false)
	if err != nil {
		c.end(ReasonParseError, err)
	}
}

// armPingTimeout starts the clock that the next ping must beat.
func (c *Conn) armPingTimeout() {
	d := c.handshake.PingInterval + c.handshake.PingTimeout
	if d <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.ended:
	case c.timer == nil:
		c.timer = time.AfterFunc(d, c.pingExpired)
	default:
		c.timer.Reset(d)
	}
}

func (c *Conn) pingExpired() {
	if c.receiving.Load() {
		c.armPingTimeout() // we do not read, so we cannot blame the server
		return
	}
	c.end(ReasonPingTimeout, nil)
}

// end is the one way a session ends. The first call decides on the reason; it
// makes everything that blocks return.
func (c *Conn) end(reason string, cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	if c.closing && reason == ReasonTransportClose {
		reason, cause = ReasonForcedClose, nil // it did what we asked for
	}
	c.ended, c.reason, c.cause = true, reason, cause
	c.cancel()
	close(c.done)
	for _, ws := range []*wsConn{c.ws, c.probed} {
		if ws != nil {
			ws.Close()
		}
	}
	for _, t := range []*time.Timer{c.timer, c.reaper} {
		if t != nil {
			t.Stop()
		}
	}
	c.out, c.queued = nil, 0
}

// Close ends the session after what has been queued is sent, or after the
// configured time. It does not wait. An upgrade under way is given up.
func (c *Conn) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing || c.ended {
		return
	}
	c.closing = true
	c.reaper = time.AfterFunc(c.cfg.CloseTimeout, func() { c.end(ReasonForcedClose, nil) })
	if c.probed != nil {
		c.probed.Close()
		c.probed, c.paused = nil, false
	}
	last := item{Frame: Frame{Data: []byte("1")}} // EIO-J-07
	if c.ws != nil {
		last = item{control: controlClose}
	}
	c.out = append(c.out, last)
	c.startFlusherLocked()
}

// Done is closed when the session has ended.
func (c *Conn) Done() <-chan struct{} { return c.done }

// ID is the session's id, which is secret.
func (c *Conn) ID() string { return c.handshake.SID }

// Transport is the name of the transport in use.
func (c *Conn) Transport() string {
	if ws, _ := c.state(); ws != nil {
		return WebSocket
	}
	return Polling
}

func (c *Conn) canUpgrade() bool {
	return c.cfg.Upgrade && c.ws == nil && slices.Contains(c.handshake.Upgrades, WebSocket) && slices.Contains(c.cfg.Transports, WebSocket)
}
