package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
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
	abort   func()       // ends the attempt under way, or the wait before it
	closed  bool
	tried   int // attempts since the connection was lost

	hooks hooks // guarded by mu, replaced as a whole
}

// hooks are the client's own.
type hooks struct {
	attempt func(n int)
	failed  func(err error)
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
	c := &Client{opts: opts, base: base, namespace: namespace, auth: staticAuth(opts.Auth), sockets: make(map[string]*Socket)}
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

// OnReconnectAttempt sets what is called before each attempt to restore the
// connection; n counts from 1. It must not block.
func (c *Client) OnReconnectAttempt(f func(n int)) { c.setHooks(func(h *hooks) { h.attempt = f }) }

// OnReconnectFailed sets what is called when Reconnect.Attempts have failed.
func (c *Client) OnReconnectFailed(f func(err error)) { c.setHooks(func(h *hooks) { h.failed = f }) }

func (c *Client) setHooks(f func(*hooks)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.hooks)
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
	n, hook := c.tried, c.hooks.attempt
	c.mu.Unlock()
	if n == 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(c.opts.Reconnect.delay(n - 1))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return false
	}
	if hook != nil {
		hook(n)
	}
	return true
}

// attempt makes a connection and uses it until it ends.
func (c *Client) attempt(ctx context.Context) {
	dialing, cancel := ctx, context.CancelFunc(func() {})
	if c.opts.ConnectTimeout > 0 {
		dialing, cancel = context.WithTimeoutCause(ctx, c.opts.ConnectTimeout, errConnectTimeout)
	}
	conn, err := engine.Dial(dialing, c.engine)
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

// failed tells the sockets of an attempt that failed, and counts it.
func (c *Client) failed(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.sockets {
		if s.active {
			s.connectFailedLocked(err)
		}
	}
	c.countLocked(err)
}

// countLocked counts a failure, and gives up when there were enough.
func (c *Client) countLocked(err error) {
	r := &c.opts.Reconnect
	if c.tried++; !r.Disabled && (r.Attempts == 0 || c.tried <= r.Attempts) {
		return
	}
	for _, s := range c.sockets {
		s.deactivateLocked(err)
	}
	if hook := c.hooks.failed; hook != nil && !r.Disabled {
		c.wg.Add(1)
		go func() { // user code, and we hold mu
			defer c.wg.Done()
			hook(err)
		}()
	}
	c.tried = 0
}

// serve runs a connection from its handshake to its end.
func (c *Client) serve(conn *engine.Conn) {
	r := c.newReceiver(conn)
	c.mu.Lock()
	c.conn, c.abort, c.tried = conn, nil, 0
	for _, s := range c.sockets {
		if s.active {
			s.joinLocked()
		}
	}
	c.relaxLocked()
	c.mu.Unlock()
	reason, err := conn.Run(r)
	c.lost(conn, Disconnect{Reason: reason, Err: public(err)})
}

// lost tells the sockets that the connection is gone, unless we gave it up.
func (c *Client) lost(conn *engine.Conn, d Disconnect) {
	c.opts.Logger.Debug("client: connection lost", "reason", d.Reason, "error", d.Err)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != conn {
		return
	}
	c.conn = nil
	for _, s := range c.sockets {
		if s.active {
			s.lostLocked(d)
		}
	}
	c.countLocked(d.asError())
}
