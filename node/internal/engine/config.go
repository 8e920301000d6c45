package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"
)

// Names of the transports.
const (
	TransportPolling   = "polling"
	TransportWebSocket = "websocket"
)

// Config sets a [Server] up. Every field but NewID may stay zero.
type Config struct {
	// PingInterval is the time from the opening and from each pong to the next
	// ping, 25 s by default; PingTimeout how long the pong may take, 20 s by
	// default (EIO-O-03, -04).
	PingInterval, PingTimeout time.Duration
	// UpgradeTimeout bounds an upgrade from the WebSocket's opening to its
	// upgrade packet, 10 s by default (EIO-O-05).
	UpgradeTimeout time.Duration
	// MaxPayload is the largest POST body and WebSocket message in bytes,
	// 1,000,000 by default (EIO-O-06).
	MaxPayload int
	// Transports that sessions may use; polling and websocket by default.
	Transports []string
	// DisableUpgrades keeps a polling session on polling (EIO-U-16).
	DisableUpgrades bool
	// AllowRequest decides on handshakes; the text of its error reaches the client
	// with code 4 (EIO-V-01). It may block.
	AllowRequest func(r *http.Request) error
	// CORS says which origins may use the server from a browser; same origin only
	// by default (HRD-13).
	CORS CORS
	// Cookie is set with the sid as value on polling handshakes (EIO-X-10).
	Cookie *http.Cookie
	// CompressionThreshold is the size in bytes from which polling responses are
	// compressed, 1,024 by default; negative: never (EIO-Z-01).
	CompressionThreshold int
	// PerMessageDeflate offers WebSocket compression without context takeover, for
	// messages of 1,024 bytes and more.
	PerMessageDeflate bool
	// AllowEIO3 accepts protocol 3 clients (EIO-O-15).
	AllowEIO3 bool
	// NewID returns a fresh unguessable sid. It must be safe for concurrent use.
	NewID func() string
	// MaxQueue bounds the output of one session in bytes, 1 MiB by default
	// (HRD-50).
	MaxQueue int
	// MaxQueueTotal bounds the output of all sessions in bytes; above it the
	// longest queues are closed first (HRD-52). Zero is a quarter of the Go memory
	// limit where one is set, negative no bound.
	MaxQueueTotal int64
	// MaxSessions refuses further handshakes; zero is no bound (HRD-14).
	MaxSessions int
	// MaxPending bounds the sessions that were not admitted yet, 20,000 by default
	// (HRD-15).
	MaxPending int
	// HandshakeRate and HandshakeBurst bound handshakes per second; zero is no
	// bound (HRD-14).
	HandshakeRate  float64
	HandshakeBurst int
	// MaxPacketsPerPayload bounds the packets in one POST, 10,000 by default
	// (HRD-21).
	MaxPacketsPerPayload int
	// PacketRate and ByteRate bound what one session may send per second, with
	// bursts, a second's worth by default; zero is no bound (HRD-47).
	PacketRate, ByteRate   float64
	PacketBurst, ByteBurst int
	// Logger receives what an operator must know; nothing by default.
	Logger *slog.Logger
	// Refused hears of every request that is refused with a code, with the
	// official name of the cause (connection_error, EIO-V-03), and of requests that
	// are one too many: code -1, answered by 503.
	Refused func(r *http.Request, code int, cause string)
	// Unknown may serve a request with a sid that no session here has, instead of
	// its refusal; it returns false if it has not touched w. It may block: Shutdown
	// waits for it.
	Unknown func(w http.ResponseWriter, r *http.Request, sid string) bool
	// Headers may add to the headers of successful responses; handshake tells
	// whether the response opens a session (EIO-V-03).
	Headers func(h http.Header, r *http.Request, handshake bool)
}

// CORS says which browser origins may use a server, and what preflights are
// answered. Requests without an Origin header and same-origin requests always
// pass.
type CORS struct {
	// Origins are exact ("https://a.example"), or "*" for all.
	Origins []string
	// AllowOrigin, if set, decides instead of Origins. It may not block.
	AllowOrigin func(r *http.Request, origin string) bool
	// Credentials lets browsers send cookies. Not together with "*".
	Credentials bool
	// AllowedHeaders of a preflight; what the request asks for by default.
	AllowedHeaders []string
	// ExposedHeaders are readable by the page.
	ExposedHeaders []string
	// Methods of a preflight; the official list by default.
	Methods []string
	// MaxAge lets browsers keep a preflight; not sent by default.
	MaxAge time.Duration
}

// DefaultMaxQueue is the default of [Config.MaxQueue].
const DefaultMaxQueue = 1 << 20

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// withDefaults fills in the zero fields and reports every problem at once.
func (c Config) withDefaults() (Config, error) {
	orDefault(&c.PingInterval, 25*time.Second)
	orDefault(&c.PingTimeout, 20*time.Second)
	orDefault(&c.UpgradeTimeout, 10*time.Second)
	orDefault(&c.MaxPayload, 1_000_000)
	orDefault(&c.CompressionThreshold, 1024)
	orDefault(&c.MaxQueue, DefaultMaxQueue)
	orDefault(&c.MaxPending, 20_000)
	orDefault(&c.MaxPacketsPerPayload, 10_000)
	if len(c.Transports) == 0 {
		c.Transports = []string{TransportPolling, TransportWebSocket}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	var errs []error
	for _, t := range c.Transports {
		if t != TransportPolling && t != TransportWebSocket {
			errs = append(errs, fmt.Errorf("engine: unknown transport %q", t))
		}
	}
	if c.NewID == nil {
		errs = append(errs, errors.New("engine: no NewID"))
	}
	if c.CORS.Credentials && c.CORS.AllowOrigin == nil && slices.Contains(c.CORS.Origins, "*") {
		errs = append(errs, errors.New(`engine: CORS origin "*" together with credentials`)) // HRD-13
	}
	for _, d := range []struct {
		name string
		v    int64
	}{
		{"PingInterval", int64(c.PingInterval)},
		{"PingTimeout", int64(c.PingTimeout)},
		{"UpgradeTimeout", int64(c.UpgradeTimeout)},
		{"MaxPayload", int64(c.MaxPayload)},
		{"MaxQueue", int64(c.MaxQueue)},
		{"MaxPending", int64(c.MaxPending)},
		{"MaxPacketsPerPayload", int64(c.MaxPacketsPerPayload)},
	} {
		if d.v < 0 {
			errs = append(errs, fmt.Errorf("engine: %s is negative", d.name))
		}
	}
	return c, errors.Join(errs...)
}
