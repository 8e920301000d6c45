package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/fanwire/fanwire/client/internal/engine"
	"github.com/fanwire/fanwire/protocol/socketio"
)

// Names of the transports.
const (
	Polling   = engine.Polling
	WebSocket = engine.WebSocket
)

// Options configure a Client. The zero value works.
type Options struct {
	// Path is where the server listens; default "/socket.io/". A slash is added at
	// its end unless NoTrailingSlash is set.
	Path            string
	NoTrailingSlash bool
	// Transports are tried in this order; default polling, then WebSocket. A
	// session that begins on polling is upgraded if WebSocket is listed too.
	Transports []string
	// TryAllTransports goes on to the next transport when one cannot be opened.
	// Otherwise only the first one is used to open a session.
	TryAllTransports bool
	// NoUpgrade leaves sessions on the transport that they began with.
	NoUpgrade bool
	// RememberUpgrade opens the next session with WebSocket when the last one
	// used it, until that fails: reconnection is faster then.
	RememberUpgrade bool

	// Auth is sent when a namespace is joined: a value that encodes to a JSON
	// object, or nil. Socket.SetAuth overrides it for one namespace.
	Auth any
	// Query is added to the URL of every request, as is the query of the URL.
	Query url.Values
	// Header is added to every request. "Host" works too.
	Header http.Header
	// PerTransport has, by the name of a transport, what is added to its requests
	// besides, and wins over Header and Query.
	PerTransport map[string]TransportOptions
	// Protocols are the sub-protocols that are offered for a WebSocket.
	Protocols []string
	// TimestampParam is the query parameter with a new value for each request of
	// polling, against caches; default "t". NoTimestamp leaves it out,
	// TimestampWebSocket adds it there too.
	TimestampParam     string
	NoTimestamp        bool
	TimestampWebSocket bool

	// Reconnect says what happens after a failure.
	Reconnect ReconnectOptions
	// ConnectTimeout is for opening a session, and for an upgrade; default 20 s,
	// negative: none.
	ConnectTimeout time.Duration
	// RequestTimeout is for each request of polling, and must be longer than the
	// server's ping interval; default: none.
	RequestTimeout time.Duration
	// AckTimeout is how long Call waits when its context has no deadline, and a
	// try of Retries; default 10 s (HRD-46), negative: no limit.
	AckTimeout time.Duration
	// Retries, above 0, makes Emit, Call and EmitAck deliver at least once, in
	// order: the events of a socket are sent one at a time, each when the one
	// before it is acknowledged. One whose ack does not come in AckTimeout, or
	// before the connection is lost, is sent again up to so many times, then given
	// up. Time without a connection does not count. The server must
	// acknowledge every event, and may get one twice. What waits is bounded by
	// SendQueue. Volatile events are not concerned.
	Retries int
	// CloseTimeout bounds the graceful end of a connection; default 5 s.
	CloseTimeout time.Duration

	// TLS is for https and wss; nil: the default.
	TLS *tls.Config
	// DialContext makes the TCP connections; nil: a net.Dialer.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
	// Proxy chooses the proxy of a request; nil: http.ProxyFromEnvironment.
	Proxy func(*http.Request) (*url.URL, error)
	// RoundTripper does the requests of the polling transport instead of an own
	// http.Transport. The WebSocket does not use it.
	RoundTripper http.RoundTripper
	// Jar keeps cookies, which many load balancers need; nil: an own one.
	Jar http.CookieJar
	// NoCookies ignores cookies, and Jar.
	NoCookies bool
	// PerMessageDeflate offers compression of WebSocket messages. Those of less
	// than CompressFrom bytes, default 1024, are sent without; negative: all are
	// compressed.
	PerMessageDeflate bool
	CompressFrom      int
	// ForceBase64 sends attachments as base64 text, and asks the server to.
	ForceBase64 bool
	// ReadBuffer is how much one system call reads from a WebSocket, in bytes;
	// default 16 KiB, and not less. Connections without unread bytes share the
	// buffers.
	ReadBuffer int

	// Parser must be the server's; nil: the default one, socketio.Text.
	Parser socketio.Parser
	// Limits bound what is accepted from the server. Zero fields mean: 10
	// attachments (the official limit), 1,000 levels of JSON, and MaxMessage.
	Limits socketio.Limits
	// MaxMessage bounds a WebSocket message and the body of a poll, in bytes;
	// default 100 MiB.
	MaxMessage int
	// SendQueue bounds what is queued for sending, in bytes; default 1 MiB. One
	// event may be larger. Emit waits while the queue is full; when there is no
	// connection it returns ErrQueueFull.
	SendQueue int
	// ReceiveQueue bounds the events of one namespace that wait for their
	// handlers, in bytes; default 4 MiB, negative: no limit. A client that has
	// recovered may get 64 times as much at once, which it has missed; with more the
	// connection is closed, and the next one begins anew.
	ReceiveQueue int

	// Logger gets debug records, and a warning for an event that cannot be
	// decoded when there is no Socket.OnError; nil: slog.Default().
	Logger *slog.Logger
}

// TransportOptions are for one transport.
type TransportOptions struct {
	Header http.Header
	Query  url.Values
}

// ReconnectOptions say what happens when the connection is lost, or cannot be
// made after Socket.Open.
type ReconnectOptions struct {
	// Disabled gives up at the first failure.
	Disabled bool
	// Attempts in a row, 0: without end.
	Attempts int
	// Delay before the first attempt, doubled for each further one; default 1 s.
	Delay time.Duration
	// DelayMax bounds the delay; default 5 s.
	DelayMax time.Duration
	// Jitter changes each delay at random by up to this share of it, from 0 to 1;
	// default 0.5, negative: none.
	Jitter float64
}

// withDefaults returns o with every default in its place.
func (o Options) withDefaults() Options {
	o.Path = "/" + strings.Trim(orDefault(o.Path, "socket.io"), "/")
	if !o.NoTrailingSlash && o.Path != "/" {
		o.Path += "/"
	}
	o.TimestampParam = orDefault(o.TimestampParam, "t")
	o.CompressFrom = max(orDefault(o.CompressFrom, 1024), 0)
	if len(o.Transports) == 0 {
		o.Transports = []string{Polling, WebSocket}
	}
	o.ConnectTimeout = orDefault(o.ConnectTimeout, 20*time.Second)
	o.AckTimeout = orDefault(o.AckTimeout, 10*time.Second)
	o.CloseTimeout = orDefault(max(o.CloseTimeout, 0), 5*time.Second)
	o.Reconnect = o.Reconnect.withDefaults()
	o.MaxMessage = orDefault(max(o.MaxMessage, 0), 100<<20)
	o.SendQueue = orDefault(max(o.SendQueue, 0), 1<<20)
	o.ReceiveQueue = orDefault(o.ReceiveQueue, 4<<20)
	o.ReadBuffer = max(o.ReadBuffer, 16<<10)
	o.Limits.Bytes = orDefault(o.Limits.Bytes, o.MaxMessage)
	o.Limits.Depth = orDefault(o.Limits.Depth, 1000)
	o.Limits.EventName = orDefault(o.Limits.EventName, 64<<10)
	o.Limits.Namespace = orDefault(o.Limits.Namespace, 64<<10)
	if o.Parser == nil {
		o.Parser = socketio.Text
	}
	if o.Proxy == nil {
		o.Proxy = http.ProxyFromEnvironment
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

func (r ReconnectOptions) withDefaults() ReconnectOptions {
	r.Delay = orDefault(max(r.Delay, 0), time.Second)
	r.DelayMax = orDefault(max(r.DelayMax, 0), 5*time.Second)
	r.Jitter = max(0, orDefault(r.Jitter, 0.5))
	return r
}

func (r *ReconnectOptions) validate() error {
	var errs []error
	if r.Attempts < 0 {
		errs = append(errs, errors.New("Reconnect.Attempts is negative"))
	}
	if r.Jitter > 1 {
		errs = append(errs, errors.New("Reconnect.Jitter is above 1"))
	}
	return errors.Join(errs...)
}

func orDefault[T comparable](v, otherwise T) T {
	if v == *new(T) {
		return otherwise
	}
	return v
}

// validate reports every problem of options that have their defaults.
func (o *Options) validate() error {
	var errs []error
	for _, t := range o.Transports {
		if t != Polling && t != WebSocket {
			errs = append(errs, fmt.Errorf("unknown transport %q", t))
		}
	}
	for t := range o.PerTransport {
		if t != Polling && t != WebSocket {
			errs = append(errs, fmt.Errorf("unknown transport %q in PerTransport", t))
		}
	}
	if o.Retries < 0 {
		errs = append(errs, fmt.Errorf("negative Retries: %d", o.Retries))
	}
	return errors.Join(append(errs, o.Reconnect.validate())...)
}
