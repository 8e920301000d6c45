package node

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/node/internal/engine"
	"github.com/fanwire/fanwire/protocol/socketio"
)

// Config sets a [Server] up. Its zero value works: one node, no limits on rates,
// browsers of the same origin only.
type Config struct {
	// Path of the endpoint, "/socket.io/" by default. Other paths are answered
	// with 404. With "/" everything the server is given is its own: for use
	// behind [http.StripPrefix].
	Path string

	// Adapter connects the node with others; nil is a node alone. The factory is
	// called once for each namespace.
	Adapter adapter.Factory
	// NodeID names this node in session ids, so that a balancer can route by them;
	// at most 32 of [A-Za-z0-9_-], unique in the cluster. Random by default.
	NodeID string
	// Advertise is where the other nodes reach this one, "http://10.0.0.7:3000":
	// they hand requests on to it that a balancer has given them for its sessions,
	// so that no balancer need be sticky. It may be a port of its own. Without it,
	// and without [Server.Advertise], nobody does; this node hands requests on all
	// the same. The adapter must be an [adapter.Directory].
	Advertise string
	// ClusterSecret, 16 bytes at least, proves to a node that a request comes from
	// another one. All nodes have the same. Without it they share one that the
	// first writes into the broker.
	ClusterSecret []byte
	// Parser of packets; nil is [socketio.Text], the default one of every client.
	Parser socketio.Parser

	// PingInterval is the time from the opening and from each pong to the next
	// ping, 25 s by default. PingTimeout is how long a pong may take, 20 s by
	// default.
	PingInterval, PingTimeout time.Duration
	// UpgradeTimeout bounds the change from polling to WebSocket, 10 s by default.
	UpgradeTimeout time.Duration
	// FirstConnectTimeout closes a session whose client has asked for no namespace
	// by then, 20 s by default (HRD-15).
	FirstConnectTimeout time.Duration
	// ConnectTimeout closes a session that is in no namespace by then, counted
	// from its opening, 45 s by default (SIO-C-07). It bounds middlewares.
	ConnectTimeout time.Duration
	// AckTimeout is how long [Call], [CallAll] and [CallRemote] wait for clients
	// when the context has no deadline, 10 s by default (HRD-46).
	AckTimeout time.Duration
	// RequestTimeout is how long requests wait for other nodes when the context
	// has no deadline, 5 s by default.
	RequestTimeout time.Duration

	// MaxPayload is the largest message and the largest polling body in bytes,
	// 1,000,000 by default. Clients learn it in the handshake.
	MaxPayload int
	// Transports that clients may use: "polling", "websocket"; both by default.
	Transports []string
	// DisableUpgrades keeps polling sessions on polling.
	DisableUpgrades bool
	// AllowEIO3 accepts Socket.IO 2.x clients. Their public ids are their session
	// ids: who sees one can take the session over (HRD-12).
	AllowEIO3 bool
	// CompressionThreshold is the size in bytes from which polling responses are
	// compressed, 1,024 by default; negative: never.
	CompressionThreshold int
	// PerMessageDeflate offers compression on WebSocket, for messages of 1,024
	// bytes and more. It costs memory and CPU.
	PerMessageDeflate bool
	// CORS says which browser origins may connect. The zero value is the page's
	// own origin only, on both transports (HRD-13).
	CORS CORS
	// Cookie, if not nil, is set with the session id as value on polling
	// handshakes. The balancer recipes do without.
	Cookie *http.Cookie
	// AllowRequest decides on each handshake before a session exists; the text of
	// an error reaches the client. It may block.
	AllowRequest func(r *http.Request) error
	// Refused hears of every request that is refused with an official code, with
	// the official name of the cause, and of requests that are one too many: code
	// -1, answered by 503. It must not block.
	Refused func(r *http.Request, code int, cause string)
	// Headers may add to the headers of successful responses; handshake tells
	// whether the response opens a session.
	Headers func(h http.Header, r *http.Request, handshake bool)

	// ClientFiles serves the official client bundle below Path: socket.io.js and
	// its other names, from the root of the file system. Nil serves none.
	ClientFiles fs.FS

	// KeepEmptyNamespaces keeps the namespaces of [Server.OfPattern] and
	// [Server.OfFunc] when their last socket has left (official default; HRD-44).
	KeepEmptyNamespaces bool

	// Recovery, if not nil, lets clients continue after a loss of the connection.
	Recovery *Recovery

	// Limits bound what clients can use up.
	Limits Limits
	// Tracer, if not nil, follows messages through the node and the cluster. Without
	// one nothing is done for it.
	Tracer Tracer
	// Logger receives what an operator must know, [slog.Default] if nil.
	Logger *slog.Logger
}

// Limits bound what one client, or all of them together, can make the server
// hold. Zero fields take the default. Those marked "negative: none" can be
// switched off. [Server.SetLimits] changes some of them while clients are there.
type Limits struct {
	Namespaces    int // joined by one session at a time; 32 (HRD-44)
	Refusals      int // CONNECTs refused to one session before it is closed; 100 (HRD-40)
	Rooms         int // of one socket; 10,000, negative: none (HRD-45)
	RoomName      int // bytes; 4,096 (HRD-43)
	Calls         int // unanswered calls to one socket; 1,000 (HRD-46)
	ConnectData   int // bytes of a CONNECT payload; 16 KiB (HRD-40)
	Attachments   int // of one event; 10 (HRD-41)
	Depth         int // of arrays and objects in JSON; 128 (HRD-05)
	EventName     int // bytes; 256 (HRD-43)
	NamespaceName int // bytes; 256 (HRD-43)
	EventBytes    int // JSON and attachments of one event; MaxPayload (HRD-41)
	PublishBytes  int // of an event to other nodes; 1 MiB (HRD-68)
	Recoveries    int // of sessions at a time, with [Recovery]; 64, others wait (HRD-73)

	// QueueEvents and QueueBytes bound what waits for the handlers of one socket:
	// 256 events, 256 KiB. One more is taken while both are below; then the
	// client is not read (HRD-48).
	QueueEvents, QueueBytes int
	// Concurrent bounds the handlers with [Concurrent] that run for one socket at
	// a time; 64.
	Concurrent int

	// Forwarded bounds the requests handed on to other nodes at a time, waiting polls
	// and WebSockets among them; 4,096, then 503; negative: none are. Each takes two
	// connections.
	Forwarded int

	// Output is the bytes that wait for one client before it is closed as a slow
	// consumer; 1 MiB (HRD-50).
	Output int
	// TotalOutput is the same for all sessions together; the longest queues go
	// first. A quarter of the Go memory limit where one is set (HRD-52);
	// negative: none.
	TotalOutput int64
	// Sessions bounds the sessions of the node; no bound by default.
	Sessions int
	// Pending bounds the sessions that are in no namespace yet; 20,000 (HRD-15).
	Pending int
	// HandshakeRate bounds new sessions per second, with HandshakeBurst at once;
	// no bound by default (HRD-14).
	HandshakeRate  float64
	HandshakeBurst int
	// PacketRate and ByteRate bound what one session sends per second, with
	// bursts; no bound by default (HRD-47).
	PacketRate, ByteRate   float64
	PacketBurst, ByteBurst int
	// PacketsPerPayload bounds the packets in one polling body; 10,000 (HRD-21).
	PacketsPerPayload int
}

// CORS says which browser origins may use the server and how preflights are
// answered. Requests without an Origin header and those of the page's own origin
// always pass.
type CORS struct {
	// Origins are exact ("https://a.example"), or "*" for all.
	Origins []string
	// AllowOrigin, if set, decides instead of Origins. It must not block.
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

// maxAckID is the largest ack id that JavaScript counts to exactly (HRD-46).
const maxAckID = 1<<53 - 1

// setDefault gives *v the value d if it is zero and complains if it is negative.
func setDefault[T int | int64 | time.Duration](errs *[]error, name string, v *T, d T) {
	switch {
	case *v == 0:
		*v = d
	case *v < 0:
		*errs = append(*errs, fmt.Errorf("node: %s is negative", name))
	}
}

// withDefaults fills in the zero fields and reports every problem at once.
func (c Config) withDefaults() (Config, error) {
	var errs []error
	if c.Path == "" {
		c.Path = "/socket.io/"
	}
	if !strings.HasPrefix(c.Path, "/") {
		errs = append(errs, fmt.Errorf("node: Path %q does not begin with a slash", c.Path))
	}
	c.Path = strings.TrimSuffix(c.Path, "/") + "/"
	if c.Parser == nil {
		c.Parser = socketio.Text
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.NodeID == "" {
		c.NodeID = randomID(6)
	}
	if !validNodeID(c.NodeID) {
		errs = append(errs, fmt.Errorf("node: NodeID %q is not 1 to 32 of [A-Za-z0-9_-]", c.NodeID))
	}
	if c.Advertise != "" {
		errs = append(errs, checkAddress(c.Advertise))
	}
	if n := len(c.ClusterSecret); n > 0 && n < 16 {
		errs = append(errs, errors.New("node: ClusterSecret is shorter than 16 bytes"))
	}
	setDefault(&errs, "FirstConnectTimeout", &c.FirstConnectTimeout, 20*time.Second)
	setDefault(&errs, "ConnectTimeout", &c.ConnectTimeout, 45*time.Second)
	setDefault(&errs, "AckTimeout", &c.AckTimeout, 10*time.Second)
	setDefault(&errs, "RequestTimeout", &c.RequestTimeout, 5*time.Second)
	setDefault(&errs, "MaxPayload", &c.MaxPayload, 1_000_000)
	if c.Recovery != nil {
		r := *c.Recovery
		setDefault(&errs, "Recovery.MaxDisconnection", &r.MaxDisconnection, 2*time.Minute)
		c.Recovery = &r
	}
	c.Limits.setDefaults(&errs, c.MaxPayload)
	return c, errors.Join(errs...)
}

func (l *Limits) setDefaults(errs *[]error, maxPayload int) {
	if l.Rooms < 0 {
		l.Rooms = int(^uint(0) >> 1)
	}
	if l.Forwarded == 0 {
		l.Forwarded = 4096
	}
	for _, d := range []struct {
		name string
		v    *int
		def  int
	}{
		{"Namespaces", &l.Namespaces, 32},
		{"Refusals", &l.Refusals, 100},
		{"Rooms", &l.Rooms, 10_000},
		{"RoomName", &l.RoomName, 4096},
		{"Calls", &l.Calls, 1000},
		{"ConnectData", &l.ConnectData, 16 << 10},
		{"Attachments", &l.Attachments, 10},
		{"Depth", &l.Depth, 128},
		{"EventName", &l.EventName, 256},
		{"NamespaceName", &l.NamespaceName, 256},
		{"EventBytes", &l.EventBytes, maxPayload},
		{"PublishBytes", &l.PublishBytes, 1 << 20},
		{"Recoveries", &l.Recoveries, 64},
		{"QueueEvents", &l.QueueEvents, 256},
		{"QueueBytes", &l.QueueBytes, 256 << 10},
		{"Concurrent", &l.Concurrent, 64},
	} {
		setDefault(errs, "Limits."+d.name, d.v, d.def)
	}
}

// decoder returns the limits of the packet decoder.
func (l *Limits) decoder() socketio.Limits {
	return socketio.Limits{
		Attachments: l.Attachments,
		Depth:       l.Depth,
		EventName:   l.EventName,
		Namespace:   l.NamespaceName,
		Bytes:       l.EventBytes,
	}
}

// engine returns the part of the configuration that concerns sessions.
func (c *Config) engine() engine.Config {
	return engine.Config{
		PingInterval:         c.PingInterval,
		PingTimeout:          c.PingTimeout,
		UpgradeTimeout:       c.UpgradeTimeout,
		MaxPayload:           c.MaxPayload,
		Transports:           c.Transports,
		DisableUpgrades:      c.DisableUpgrades,
		AllowRequest:         c.AllowRequest,
		CORS:                 engine.CORS(c.CORS),
		Cookie:               c.Cookie,
		CompressionThreshold: c.CompressionThreshold,
		PerMessageDeflate:    c.PerMessageDeflate,
		AllowEIO3:            c.AllowEIO3,
		NewID:                sessionIDs(c.NodeID),
		MaxQueue:             c.Limits.Output,
		MaxQueueTotal:        c.Limits.TotalOutput,
		MaxSessions:          c.Limits.Sessions,
		MaxPending:           c.Limits.Pending,
		HandshakeRate:        c.Limits.HandshakeRate,
		HandshakeBurst:       c.Limits.HandshakeBurst,
		MaxPacketsPerPayload: c.Limits.PacketsPerPayload,
		PacketRate:           c.Limits.PacketRate,
		ByteRate:             c.Limits.ByteRate,
		PacketBurst:          c.Limits.PacketBurst,
		ByteBurst:            c.Limits.ByteBurst,
		Logger:               c.Logger,
		Refused:              c.Refused,
		Headers:              c.Headers,
	}
}
