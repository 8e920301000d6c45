// Package listener is the one place where Fanwire listens. It makes the
// [http.Server] that the gateway, the demo and tests share, with the limits of a
// server that strangers reach: time for headers, their size and number, time for
// bodies, caps on connections, one below the limit of open files and a share of the
// memory limit, TLS with certificates that change, and a stop that leaves nothing
// behind (HRD-10, HRD-14, HRD-16, HRD-17, HRD-74, HRD-75, HRD-80).
//
// The library packages never listen. A program that mounts node.Server in a
// server of its own sets ReadHeaderTimeout, IdleTimeout and MaxHeaderBytes there.
package listener

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Config configures a [Server]. Only Handler is required. A limit can be
// loosened, not removed: negative values are refused.
type Config struct {
	// Handler gets every request that passed the limits.
	Handler http.Handler
	// ReadHeaderTimeout bounds the time from the first moment of a connection, or
	// the first byte of a later request, to the end of the headers. 0 means 10 s.
	ReadHeaderTimeout time.Duration
	// IdleTimeout bounds the time between two requests on a connection. It must
	// be longer than a balancer keeps its connections to us. 0 means 75 s.
	IdleTimeout time.Duration
	// BodyTimeout bounds the time for a request body; each 16 KiB that have
	// arrived add 1 s, so that a slow uplink may send a large one. 0 means 15 s.
	BodyTimeout time.Duration
	// WriteTimeout bounds the time in which a client takes nothing of its answer. It
	// does not bound the time of the handler. 0 means 10 s.
	WriteTimeout time.Duration
	// MaxHeaderBytes bounds request line and headers; net/http lets 4 KiB more
	// pass. 0 means 16 KiB.
	MaxHeaderBytes int
	// MaxHeaderLines bounds the number of header lines. 0 means 100.
	MaxHeaderLines int
	// MaxConns bounds the open connections, hijacked ones included. 0 means
	// [DefaultMaxConns]. Ignored when Slots is set.
	MaxConns int
	// Slots is a cap that several servers share; nil means one of its own.
	Slots *Slots
	// MaxPerAddress bounds the open connections of one address, an IPv6 network of
	// 64 bits counting as one. A proxy that is trusted may open as many as it likes:
	// there each request counts, for the client that the proxy names, until it is
	// answered, a hijacked one until its connection ends. 0 means no bound.
	MaxPerAddress int
	// Exempt tells, if set, which other addresses may open as many connections as
	// they like, such as those of the cluster's nodes. It must not block.
	Exempt func(netip.Addr) bool
	// TrustedProxies are the addresses whose X-Forwarded-For, -Host and -Proto
	// are believed (HRD-16). None by default.
	TrustedProxies []netip.Prefix
	// TrustUnix believes whoever connects to a unix socket as well.
	TrustUnix bool
	// UnixMode are the permissions of a unix socket that Start makes. 0 means 0660.
	UnixMode fs.FileMode
	// Shed has the newest connections closed while more than 90 % of the memory limit
	// are in use: one of 16 each second.
	Shed bool
	// TLS turns TLS on; nil means plain HTTP. A client has ReadHeaderTimeout for
	// the handshake.
	TLS *TLS
	// Logger gets refused connections and failing accepts at most once a second,
	// and panics of the handler. Nil means slog.Default().
	Logger *slog.Logger
}

func (c *Config) setDefaults() {
	setDefault(&c.ReadHeaderTimeout, 10*time.Second)
	setDefault(&c.IdleTimeout, 75*time.Second)
	setDefault(&c.BodyTimeout, 15*time.Second)
	setDefault(&c.WriteTimeout, 10*time.Second)
	setDefault(&c.MaxHeaderBytes, 16<<10)
	setDefault(&c.MaxHeaderLines, 100)
	setDefault(&c.UnixMode, 0o660)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

func (c *Config) validate() error {
	var errs []error
	if c.Handler == nil {
		errs = append(errs, errors.New("listener: Handler is required"))
	}
	for _, f := range []struct {
		name string
		v    int64
	}{
		{"ReadHeaderTimeout", int64(c.ReadHeaderTimeout)},
		{"IdleTimeout", int64(c.IdleTimeout)},
		{"BodyTimeout", int64(c.BodyTimeout)},
		{"WriteTimeout", int64(c.WriteTimeout)},
		{"MaxHeaderBytes", int64(c.MaxHeaderBytes)},
		{"MaxHeaderLines", int64(c.MaxHeaderLines)},
		{"MaxConns", int64(c.MaxConns)},
		{"MaxPerAddress", int64(c.MaxPerAddress)},
	} {
		if f.v < 0 {
			errs = append(errs, fmt.Errorf("listener: %s is negative", f.name))
		}
	}
	return errors.Join(errs...)
}

// Stats are the counters of a [Server].
type Stats struct {
	Open         int64  // connections now, hijacked ones included
	Accepted     uint64 // connections taken
	Refused      uint64 // connections turned away for lack of a slot or of memory
	Shed         uint64 // connections closed for lack of memory
	PerAddress   uint64 // connections and requests turned away since their address had its share
	AcceptErrors uint64 // accepts that failed
	TLSErrors    uint64 // handshakes that failed
	Panics       uint64 // panics of the handler

	CertificateExpires time.Time // the end of the certificate in use; zero without TLS
}

// Server serves one address. Its methods are safe for concurrent use.
type Server struct {
	// Static after construction.
	cfg    Config
	http   *http.Server
	slots  *Slots
	ctx    context.Context // the base of every request's context and of TLS handshakes
	cancel context.CancelFunc
	acc    *acceptor // nil until Start
	served chan struct{}

	perAddress *addresses // nil without a bound

	memory  func() (used, limit int64) // bytes; watchMemory calls it
	watches bool                       // memory has a limit

	short                                   atomic.Bool // memory is scarce (HRD-75)
	accepted, refused, acceptErrors, panics atomic.Uint64
	tooMany, tlsErrors, shed                atomic.Uint64
	warned                                  atomic.Int64 // time of the last warning, since began

	mu       sync.Mutex // guards the fields below
	open     int64
	newest   *conn              // the older ones follow
	fresh    map[*conn]struct{} // connections that have not sent a request yet
	stopping bool
	idle     chan struct{} // closed when stopping and open is 0
	idleDone bool
}

// New checks the configuration and makes a server that does not listen yet.
func New(cfg Config) (*Server, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg.setDefaults()
	s := &Server{
		cfg:    cfg,
		slots:  cfg.Slots,
		served: make(chan struct{}),
		fresh:  make(map[*conn]struct{}),
		idle:   make(chan struct{}),

		perAddress: newAddresses(cfg.MaxPerAddress),

		memory:  new(memoryGauge).read,
		watches: memoryLimit() != 0,
	}
	if s.slots == nil {
		s.slots = NewSlots(cfg.MaxConns)
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.http = &http.Server{
		Handler:           http.HandlerFunc(s.serveHTTP),
		ReadHeaderTimeout: cfg.ReadHeaderTimeout,
		IdleTimeout:       cfg.IdleTimeout,
		MaxHeaderBytes:    cfg.MaxHeaderBytes,
		ConnState:         s.connState,
		BaseContext:       func(net.Listener) context.Context { return s.ctx },
		// Whatever net/http has to say is about one client's mistake (panics are
		// ours, serveHTTP reports them).
		ErrorLog: slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug),
	}
	s.http.Protocols = new(http.Protocols)
	s.http.Protocols.SetHTTP1(true) // WebSocket upgrades are HTTP/1.1
	if cfg.TLS != nil && cfg.TLS.cfg.HTTP2 {
		s.http.Protocols.SetHTTP2(true)
		s.http.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: maxStreams}
	}
	if s.perAddress != nil {
		s.http.ConnContext = withConn
	}
	return s, nil
}

// maxStreams is how many requests one HTTP/2 connection may have at a time. A page
// needs two.
const maxStreams = 100

// Start listens on a TCP address ("127.0.0.1:0" picks a free port) or a unix
// socket ("unix:/run/fanwire.sock") and serves until Shutdown. It is called once.
// A file of a socket on which nobody listens is replaced, as a killed process
// leaves it behind.
func (s *Server) Start(addr string) error {
	var ln net.Listener
	var err error
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		ln, err = listenUnix(path, s.cfg.UnixMode)
	} else {
		ln, err = net.Listen("tcp", addr)
	}
	if err != nil {
		return fmt.Errorf("listener: %w", err)
	}
	s.StartOn(ln)
	return nil
}

// StartOn is [Server.Start] with a TCP or unix listener that exists, from systemd
// for example; Shutdown closes it.
func (s *Server) StartOn(ln net.Listener) {
	s.acc = newAcceptor(ln, s)
	if s.cfg.TLS != nil {
		s.acc.wg.Go(s.acc.shakeHands) // ends when ln is closed
	}
	if s.watches {
		s.acc.wg.Go(func() { s.watchMemory(s.acc.closed) })
	}
	go func() { // ends when ln is closed; Shutdown waits for it
		defer close(s.served)
		_ = s.http.Serve(s.acc) // net.ErrClosed: the acceptor lives through all others
	}()
}

// Addr is the address that the server listens on. It is nil before Start.
func (s *Server) Addr() net.Addr {
	if s.acc == nil {
		return nil
	}
	return s.acc.Addr()
}

// URL is the address as an http or https URL without a path. An unspecified host
// (":3000") becomes localhost. That of a unix socket is "unix:" and its path.
func (s *Server) URL() string {
	scheme := "http://"
	if s.cfg.TLS != nil {
		scheme = "https://"
	}
	switch addr := s.Addr().(type) {
	case *net.TCPAddr:
		if addr.IP.IsUnspecified() {
			return fmt.Sprintf("%slocalhost:%d", scheme, addr.Port)
		}
		return scheme + addr.String()
	case *net.UnixAddr:
		return "unix:" + addr.Name
	}
	return ""
}

// Stats returns the counters.
func (s *Server) Stats() Stats {
	var expires time.Time
	if s.cfg.TLS != nil {
		expires = s.cfg.TLS.Expires()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{
		Open:         s.open,
		Accepted:     s.accepted.Load(),
		Refused:      s.refused.Load(),
		Shed:         s.shed.Load(),
		PerAddress:   s.tooMany.Load(),
		AcceptErrors: s.acceptErrors.Load(),
		TLSErrors:    s.tlsErrors.Load(),
		Panics:       s.panics.Load(),

		CertificateExpires: expires,
	}
}

// Shutdown stops listening, closes what is idle, waits for requests under way,
// then ends the contexts of hijacked requests and waits for their connections.
// Who holds sessions (node.Server) is shut down first: sessions end there, not
// here. When ctx ends before all is closed, Shutdown drops what it can and says
// how many connections are left. It is called once.
func (s *Server) Shutdown(ctx context.Context) error {
	defer s.cancel()
	if s.acc == nil {
		return nil
	}
	_ = s.acc.Close()
	<-s.served
	s.beginStop()
	err := s.http.Shutdown(ctx)
	s.cancel()
	if err == nil {
		err = s.waitIdle(ctx)
	}
	_ = s.http.Close()
	s.acc.wait()
	if err != nil {
		return fmt.Errorf("listener: shut down with %d connections open: %w", s.Stats().Open, err)
	}
	return nil
}

// beginStop closes the connections that never sent a byte, for example those
// that browsers open in advance: http.Server.Shutdown waits 5 s for each.
func (s *Server) beginStop() {
	s.mu.Lock()
	s.stopping = true
	s.closeIdleLocked()
	fresh := make([]*conn, 0, len(s.fresh))
	for c := range s.fresh {
		fresh = append(fresh, c)
	}
	s.mu.Unlock()
	for _, c := range fresh {
		_ = c.Close()
	}
}

func (s *Server) waitIdle(ctx context.Context) error {
	select {
	case <-s.idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// closeIdleLocked tells Shutdown that the last connection is gone.
func (s *Server) closeIdleLocked() {
	if s.stopping && s.open == 0 && !s.idleDone {
		s.idleDone = true
		close(s.idle)
	}
}

func (s *Server) connOpened(c *conn) {
	s.accepted.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open++
	if c.older = s.newest; c.older != nil {
		c.older.newer = c
	}
	s.newest = c
}

// unlinkLocked takes a connection out of the list from the newest to the oldest.
func (s *Server) unlinkLocked(c *conn) {
	if c.newer != nil {
		c.newer.older = c.older
	} else {
		s.newest = c.older
	}
	if c.older != nil {
		c.older.newer = c.newer
	}
	c.newer, c.older = nil, nil
}

func (s *Server) connClosed(c *conn) {
	s.slots.release()
	s.mu.Lock()
	s.open--
	s.unlinkLocked(c)
	c.gone = true
	counts := c.counts
	s.closeIdleLocked()
	s.mu.Unlock()
	if s.perAddress != nil {
		s.perAddress.release(counts)
	}
}

// connState follows a connection's life as net/http sees it. The calls for one
// connection do not overlap.
func (s *Server) connState(nc net.Conn, state http.ConnState) {
	t, ok := nc.(tracked)
	if !ok {
		return // HTTP/2 ends its connections by itself
	}
	c := t.base()
	switch {
	case state == http.StateNew:
		c.fresh = true
		s.mu.Lock()
		s.fresh[c] = struct{}{}
		s.mu.Unlock()
	case c.fresh:
		c.fresh = false
		s.mu.Lock()
		delete(s.fresh, c)
		s.mu.Unlock()
	}
	if state == http.StateHijacked {
		s.mu.Lock()
		c.hijacked = true
		s.mu.Unlock()
		t.release()
	}
}

var began = time.Now()

// warn logs, at most once a second: an attack must not fill the disk (HRD-85).
func (s *Server) warn(msg string, args ...any) {
	now := int64(time.Since(began) + time.Second) // monotonic (HRD-77); 0 is before
	last := s.warned.Load()
	if now-last < int64(time.Second) || !s.warned.CompareAndSwap(last, now) {
		return
	}
	s.cfg.Logger.Warn(msg, args...)
}
