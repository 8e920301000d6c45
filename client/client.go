package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fanwire/fanwire/client/internal/engine"
)

// Client is a connection to a server, kept up while one of its sockets wants it.
type Client struct {
	// Static after New.
	opts      Options
	base      *url.URL
	namespace string // of the URL
	auth      auth   // of sockets that have no other
	engine    engine.Config
	transport *http.Transport // ours to close; nil if it is the caller's
	ctx       context.Context // for handlers; ends with Close
	cancel    context.CancelFunc
	wg        sync.WaitGroup // run, workers of queues, auth functions; Add under mu while not closed, or by one that is counted

	mu      sync.Mutex // guards the fields below and the state of all sockets; not held during I/O or user code
	sockets map[string]*Socket
	conn    *engine.Conn // nil while there is none
	running bool         // run exists
	upgrade bool         // the last session used WebSocket (RememberUpgrade)
	abort   func()       // ends the attempt under way, or the wait before it
	closed  bool
	tried   int // attempts since the connection was lost
	backoff ReconnectOptions

	hooks hooks
}

// New makes a client for the server at address, an URL with scheme http, https,
// ws or wss. It does no I/O: that begins with Connect or Open of a socket.
func New(address string, opts Options) (*Client, error) {
	opts = opts.withDefaults()
	if err := opts.validate(); err != nil {
		return nil, fmt.Errorf("client: options: %w", err)
	}
	base, namespace, err := opts.parseURL(address)
	if err != nil {
		return nil, fmt.Errorf("client: address: %w", err)
	}
	c := &Client{opts: opts, base: base, namespace: namespace, auth: staticAuth(opts.Auth), sockets: make(map[string]*Socket), backoff: opts.Reconnect}
	if c.auth.err != nil {
		return nil, fmt.Errorf("client: options: Auth: %w", c.auth.err)
	}
	c.engine, c.transport = opts.engine(base)
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

// Dial connects to the namespace that the path of address names. The functions
// in setup run before that; they register handlers. It returns when the socket
// is connected, or with the error of the first attempt: a *ConnectError when the
// server refused, a *TransportError when it could not be reached, ctx's error.
// After that the connection is restored as Options.Reconnect says.
//
// The socket owns its Client: Socket.Close ends both.
func Dial(ctx context.Context, address string, opts Options, setup ...func(*Socket)) (*Socket, error) {
	c, err := New(address, opts)
	if err != nil {
		return nil, err
	}
	s := c.Of(c.namespace)
	s.owner = true
	for _, f := range setup {
		f(s)
	}
	if err := s.Connect(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return s, nil
}

// Of returns the socket of a namespace, always the same one. It does not connect
// it. "x" means "/x", and "" means "/".
func (c *Client) Of(namespace string) *Socket {
	namespace = cleanNamespace(namespace)
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sockets[namespace]
	if s == nil {
		s = newSocket(c, namespace)
		c.sockets[namespace] = s
	}
	return s
}

func cleanNamespace(name string) string {
	if !strings.HasPrefix(name, "/") {
		return "/" + name
	}
	return name
}

// Transport is the name of the transport in use, empty without a connection.
func (c *Client) Transport() string {
	if conn := c.current(); conn != nil {
		return conn.Transport()
	}
	return ""
}

// SID is the id of the Engine.IO session, empty without a connection. Whoever
// knows it can take part in the session.
func (c *Client) SID() string {
	if conn := c.current(); conn != nil {
		return conn.ID()
	}
	return ""
}

func (c *Client) current() *engine.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn
}

// Drop closes the connection, if there is one, as a failure would: the sockets
// are disconnected for the reason "forced close" and come back as
// Options.Reconnect says.
func (c *Client) Drop() {
	if conn := c.current(); conn != nil {
		conn.Close()
	}
}

// SetReconnect replaces Options.Reconnect, from the next failure on.
func (c *Client) SetReconnect(r ReconnectOptions) error {
	r = r.withDefaults()
	if err := r.validate(); err != nil {
		return fmt.Errorf("client: options: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.backoff = r
	return nil
}

// Close disconnects all sockets, sends what is queued, and closes the
// connection: gracefully within Options.CloseTimeout, then by force. It cancels
// the context of handlers, and returns when all goroutines of the client have
// ended. So it must not be called from a handler; Socket.Disconnect may be.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	for _, s := range c.sockets {
		s.disconnectLocked()
		s.failAcksLocked()
	}
	c.mu.Unlock()
	c.cancel()
	for _, s := range c.all() {
		s.queue.close()
	}
	c.wg.Wait()
	if c.transport != nil {
		c.transport.CloseIdleConnections()
	}
}

func (c *Client) all() []*Socket {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]*Socket, 0, len(c.sockets))
	for _, s := range c.sockets {
		all = append(all, s)
	}
	return all
}

// activateLocked starts run if it does not exist.
func (c *Client) activateLocked() {
	if !c.running && !c.closed {
		c.running = true
		c.wg.Add(1)
		go c.run()
	}
}

// relaxLocked ends the connection, or the attempt to make one, if no socket
// wants it any more (SIO-X-20).
func (c *Client) relaxLocked() {
	for _, s := range c.sockets {
		if s.active {
			return
		}
	}
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil // a socket that is opened now gets another one
	}
	if c.abort != nil {
		c.abort()
	}
}

// run keeps the connection up until no socket wants it.
func (c *Client) run() {
	defer c.wg.Done()
	for {
		ctx, cancel, ok := c.begin()
		if !ok {
			return
		}
		if c.wait(ctx) {
			c.attempt(ctx)
		}
		cancel()
	}
}

// begin makes the context of the next attempt; false if nobody wants one.
func (c *Client) begin() (context.Context, context.CancelFunc, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wanted := false
	for _, s := range c.sockets {
		wanted = wanted || s.active
	}
	if c.closed || !wanted {
		c.running, c.abort, c.tried = false, nil, 0
		return nil, nil, false
	}
	ctx, cancel := context.WithCancel(c.ctx)
	c.abort = cancel
	return ctx, cancel, true
}

// wait waits as long as the number of failures asks for; false if ctx has ended
// meanwhile.
func (c *Client) wait(ctx context.Context) bool {
	c.mu.Lock()
	n, backoff := c.tried, c.backoff
	c.mu.Unlock()
	if n == 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(backoff.delay(n - 1))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return false
	}
	call(c.hooks.attempt.all(), n)
	return ctx.Err() == nil // a hook may have changed our mind
}

// attempt makes a connection and uses it until it ends.
func (c *Client) attempt(ctx context.Context) {
	dialing, cancel := ctx, context.CancelFunc(func() {})
	if c.opts.ConnectTimeout > 0 {
		dialing, cancel = context.WithTimeoutCause(ctx, c.opts.ConnectTimeout, errConnectTimeout)
	}
	var conn *engine.Conn
	var err error
	apart(func() { conn, err = engine.Dial(dialing, c.config()) })
	if err != nil && context.Cause(dialing) == errConnectTimeout {
		err = &engine.Error{Message: "timeout", Code: -1, Err: err}
	}
	cancel()
	switch {
	case err == nil:
		c.serve(conn)
	case ctx.Err() == nil:
		c.opts.Logger.Debug("client: connect", "error", err)
		c.failed(public(err))
	}
}

var errConnectTimeout = errors.New("timeout")

// apart runs f in a goroutine of its own and waits for it. It is for what takes a
// large stack, which the goroutine that reads would keep while it is idle: four
// kilobytes for each connection.
func apart(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

// config is that of the next connection.
func (c *Client) config() engine.Config {
	cfg := c.engine
	if c.hooks.watched.Load() {
		cfg.Observer = observer{c}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.opts.RememberUpgrade && c.upgrade && slices.Contains(cfg.Transports, WebSocket) {
		cfg.Transports = append([]string{WebSocket}, cfg.Transports...)
	}
	c.upgrade = false // until it has worked again
	return cfg
}

// failed tells the sockets of an attempt that failed, and counts it.
func (c *Client) failed(err error) {
	c.mu.Lock()
	for _, s := range c.sockets {
		if s.active {
			s.connectFailedLocked(err)
		}
	}
	again := c.tried > 0
	end := c.countLocked(err)
	c.mu.Unlock()
	call(c.hooks.err.all(), err)
	if again {
		call(c.hooks.reconnectError.all(), err)
	}
	if end {
		call(c.hooks.failed.all(), err)
	}
}

// countLocked counts a failure, and gives up when there were enough. It tells
// whether reconnection has failed thereby.
func (c *Client) countLocked(err error) (failed bool) {
	r := &c.backoff
	if c.tried++; !r.Disabled && (r.Attempts == 0 || c.tried <= r.Attempts) {
		return false
	}
	for _, s := range c.sockets {
		s.deactivateLocked(err)
	}
	c.tried = 0
	return !r.Disabled
}

// serve runs a connection from its handshake to its end.
func (c *Client) serve(conn *engine.Conn) {
	r := c.newReceiver(conn)
	c.mu.Lock()
	again := c.tried
	c.conn, c.abort, c.tried = conn, nil, 0
	for _, s := range c.sockets {
		if s.active {
			s.joinLocked()
		}
	}
	c.relaxLocked()
	c.mu.Unlock()
	call(c.hooks.open.all(), none{})
	if again > 0 {
		call(c.hooks.reconnect.all(), again)
	}
	reason, err := conn.Run(r)
	c.lost(conn, Disconnect{Reason: reason, Err: public(err)})
}

// lost tells the sockets that the connection is gone, unless we gave it up.
func (c *Client) lost(conn *engine.Conn, d Disconnect) {
	c.opts.Logger.Debug("client: connection lost", "reason", d.Reason, "error", d.Err)
	end := c.lostLocking(conn, d)
	if d.Reason == ReasonTransportError {
		call(c.hooks.err.all(), d.asError())
	}
	call(c.hooks.close.all(), d)
	if end {
		call(c.hooks.failed.all(), d.asError())
	}
}

func (c *Client) lostLocking(conn *engine.Conn, d Disconnect) (end bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.upgrade = conn.Transport() == WebSocket && d.Reason != ReasonTransportError
	if c.conn != conn {
		return false
	}
	c.conn = nil
	for _, s := range c.sockets {
		if s.active {
			s.lostLocked(d)
		}
	}
	return c.countLocked(d.asError())
}
