// Package config is the configuration of the gateway: its structure, its defaults
// and where it comes from. Later ones win: the defaults, a YAML file, the
// environment, flags. A secret has no flag (HRD-84); anywhere else it may be named
// by the file that holds it.
package config

import "time"

// Config is everything that can be set. The comment of a field is its row in
// docs/configuration.md, up to the first empty line. The tags:
//
//	yaml     the name in the file; the path of all names is that of the flag
//	         (--redis.address) and of the environment (FANWIRE_REDIS_ADDRESS)
//	default  as written in the file
//	reload   may change while the gateway runs, with all that is in it but what says
//	         "false"
//
// After a change: go run . config docs > docs/configuration.md
//
// Fields of type [Secret] can be given as FANWIRE_..._FILE and as {file: PATH}. A
// Config does not change once it is loaded, and may be used concurrently.
type Config struct {
	Node     Node     `yaml:"node"`
	Listen   Listen   `yaml:"listen"`
	Admin    Admin    `yaml:"admin"`
	Redis    Redis    `yaml:"redis"`
	SocketIO SocketIO `yaml:"socketio"`
	Limits   Limits   `yaml:"limits" reload:"true"`
	Auth     Auth     `yaml:"auth" reload:"true"`
	// Namespaces that clients may be in. Without any there is "/", for everybody, where
	// events are counted and ignored.
	Namespaces []Namespace `yaml:"namespaces" reload:"true"`
	// Backends that are called by HTTP, by their names in namespaces and routes.
	Webhooks map[string]Webhook `yaml:"webhooks" reload:"true"`
	API      API                `yaml:"api" reload:"true"`
	AdminUI  AdminUI            `yaml:"admin_ui"`
	Console  Console            `yaml:"console"`
	Tracing  Tracing            `yaml:"tracing"`
	Log      Log                `yaml:"log" reload:"true"`
	Drain    Drain              `yaml:"drain"`
	// Whether there is the namespace /loadtest, for the load-test tool: anybody may join
	// any room of it, and emit to everybody there. Never in production.
	LoadTest bool `yaml:"loadtest" default:"false"`

	origins map[string]Origin // by path, for messages
}

// LoadTestNamespace is there with [Config].LoadTest.
const LoadTestNamespace = "/loadtest"

// Node is this node and how the others reach it.
type Node struct {
	// Name of this node in session ids, 1 to 32 of [A-Za-z0-9_-], unique in the
	// cluster. Random if empty.
	ID string `yaml:"id"`
	// Address where the other nodes reach this one, as in http://10.0.0.7:3000. If
	// empty, that of this machine in its network and the port of listen.address.
	Advertise string `yaml:"advertise"`
	// Address of a port for the other nodes alone, host:port. If empty they use
	// listen.address, which they cannot when that has TLS or is a unix socket.
	PeerAddress string `yaml:"peer_address"`
	// What proves to a node that a request comes from another one; 16 bytes at
	// least, the same on all nodes. If empty they share one through Redis.
	ClusterSecret Secret `yaml:"cluster_secret"`
}

// Listen is the port of clients.
type Listen struct {
	// Address for clients: host:port, or unix:/path/to/socket.
	Address string `yaml:"address" default:":3000"`
	// Permissions of the unix socket.
	UnixMode string `yaml:"unix_mode" default:"0660"`
	// TLS for clients.
	TLS TLS `yaml:"tls"`
	// Whether HTTP/2 is offered for polling, where TLS is on.
	HTTP2 bool `yaml:"http2" default:"true"`
	// Largest number of connections at a time. 0: the limit of open files but for a
	// reserve and a quarter for requests that go to other nodes.
	MaxConnections int `yaml:"max_connections" default:"0"`
	// Largest number of connections from one address at a time. 0: no limit.
	MaxPerAddress int `yaml:"max_per_address" default:"0"`
	// Addresses and networks of proxies whose X-Forwarded-For, -Host and -Proto are
	// believed, and "unix" for those who connect to the unix socket.
	TrustedProxies []string `yaml:"trusted_proxies"`
}

// TLS is a certificate from files, read again when they change.
type TLS struct {
	// Certificate chain, PEM. TLS is on when cert_file and key_file are set.
	CertFile string `yaml:"cert_file"`
	// Private key, PEM.
	KeyFile string `yaml:"key_file"`
	// Authorities of client certificates, PEM. If set, clients must have one.
	ClientCAFile string `yaml:"client_ca_file"`
	// Lowest version, 1.2 or 1.3.
	MinVersion string `yaml:"min_version" default:"1.2"`
}

// Admin is the port of operators and backends: API, metrics, admin UI, console,
// health.
type Admin struct {
	// Address of the admin listener: host:port, unix:/path/to/socket, or "off".
	Address string `yaml:"address" default:"127.0.0.1:3001"`
	// TLS for operators and backends.
	TLS TLS `yaml:"tls"`
	// Whether /debug/pprof/ is served.
	Pprof bool `yaml:"pprof" default:"false"`
	// Whether /metrics is served.
	Metrics bool `yaml:"metrics" default:"true"`
}

// Redis is the broker.
type Redis struct {
	// Addresses as host:port, or one redis:// or rediss:// URL without a password.
	// If empty, an embedded Redis serves this node alone: nothing is shared and
	// nothing survives the process.
	Addresses []string `yaml:"addresses"`
	// What the addresses are: single, sentinel or cluster.
	Mode string `yaml:"mode" default:"single"`
	// Name of the master, for sentinel.
	MasterName string `yaml:"master_name"`
	// User, if Redis asks for more than a password.
	Username string `yaml:"username"`
	// Password, if Redis asks for one.
	Password Secret `yaml:"password"`
	// User of the sentinels, if they ask for one.
	SentinelUsername string `yaml:"sentinel_username"`
	// Password of the sentinels, if they ask for one.
	SentinelPassword Secret `yaml:"sentinel_password"`
	// Number of the database. Not with cluster.
	Database int `yaml:"database" default:"0"`
	// TLS to Redis.
	TLS RedisTLS `yaml:"tls"`
	// How events travel: classic, sharded or streams. The same on all nodes, and as
	// on official ones. The embedded Redis has no sharded channels. None: this node is
	// alone, its events do not go through Redis, and emitters do not reach it.
	Adapter string `yaml:"adapter" default:"classic"`
	// Prefix of keys and channels, as on official nodes ("socket.io").
	Prefix string `yaml:"prefix" default:"socket.io"`
	// Length of the stream, for the streams adapter.
	StreamLength int `yaml:"stream_length" default:"10000"`
}

// RedisTLS is for the connection to Redis.
type RedisTLS struct {
	// Whether to use TLS. A rediss:// URL does too.
	Enabled bool `yaml:"enabled" default:"false"`
	// Authorities of the server's certificate, PEM. If empty, those of the system.
	CAFile string `yaml:"ca_file"`
	// Certificate of this client, PEM, if the server asks for one.
	CertFile string `yaml:"cert_file"`
	// Key of this client, PEM.
	KeyFile string `yaml:"key_file"`
	// Name in the server's certificate, if it is not that of the address.
	ServerName string `yaml:"server_name"`
}

// SocketIO is what clients see of the protocol.
type SocketIO struct {
	// Path of the endpoint.
	Path string `yaml:"path" default:"/socket.io/"`
	// Time from one pong to the next ping.
	PingInterval time.Duration `yaml:"ping_interval" default:"25s"`
	// Time that a pong may take.
	PingTimeout time.Duration `yaml:"ping_timeout" default:"20s"`
	// Time that the change from polling to WebSocket may take.
	UpgradeTimeout time.Duration `yaml:"upgrade_timeout" default:"10s"`
	// Time in which a client must be in a namespace, what a webhook takes for it
	// included.
	ConnectTimeout time.Duration `yaml:"connect_timeout" default:"45s"`
	// Largest message and polling body.
	MaxPayload Size `yaml:"max_payload" default:"1MB"`
	// Transports that clients may use: polling, websocket.
	Transports []string `yaml:"transports" default:"[polling, websocket]"`
	// Whether Socket.IO 2 clients are accepted. Their public ids are secrets then.
	AllowEIO3 bool `yaml:"allow_eio3" default:"false"`
	// Whether WebSocket messages are compressed. It costs memory and CPU.
	PerMessageDeflate bool `yaml:"per_message_deflate" default:"false"`
	// Packet format: default or msgpack.
	Parser string `yaml:"parser" default:"default"`
	// Which pages may connect.
	CORS CORS `yaml:"cors"`
	// Name of a cookie that carries the session id. Empty: none is set.
	Cookie string `yaml:"cookie"`
	// Folder with the official client's bundle, served below the path. If empty, it
	// is not served.
	ClientDir string `yaml:"client_dir"`
	// How long a client that lost its connection may be away and be continued with
	// what it missed. 0: recovery is off.
	Recovery time.Duration `yaml:"recovery" default:"0s"`
}

// CORS says which pages may connect, besides those of the same origin.
type CORS struct {
	// Origins like https://app.example, or "*" for all.
	Origins []string `yaml:"origins"`
	// Whether browsers may send cookies. Not together with "*".
	Credentials bool `yaml:"credentials" default:"false"`
	// Headers that pages may send. If empty, those that they ask for.
	AllowedHeaders []string `yaml:"allowed_headers"`
	// How long browsers keep the answer to a preflight. 0: it is not said.
	MaxAge time.Duration `yaml:"max_age" default:"0s"`
}

// Limits bound what clients use up.
type Limits struct {
	// New sessions per second. 0: no limit.
	HandshakeRate float64 `yaml:"handshake_rate" default:"1000"`
	// New sessions at once.
	HandshakeBurst int `yaml:"handshake_burst" default:"2000"`
	// Sessions of this node at a time. 0: no limit.
	Sessions int `yaml:"sessions" default:"0"`
	// Packets per second from one client. Who sends more is read slowly, and closed
	// after 10 s of it. 0: no limit.
	PacketRate float64 `yaml:"packet_rate" default:"500"`
	// Packets at once from one client.
	PacketBurst int `yaml:"packet_burst" default:"2000"`
	// Bytes per second from one client, as with packets. 0: no limit.
	ByteRate Size `yaml:"byte_rate" default:"2MB"`
	// Bytes at once from one client.
	ByteBurst Size `yaml:"byte_burst" default:"4MB"`
	// Bytes that wait for one client before it is closed as a slow one.
	Output Size `yaml:"output" default:"1MiB"`
	// Rooms of one socket. 0: no limit.
	Rooms int `yaml:"rooms" default:"10000"`
	// Bytes of the name of a room that a client or a backend gives.
	RoomName int `yaml:"room_name" default:"256"`
	// Namespaces that one client may be in.
	Namespaces int `yaml:"namespaces" default:"32"`
	// Attachments of one event.
	Attachments int `yaml:"attachments" default:"10" reload:"false"`
}

// Auth says how clients prove who they are. A namespace names the ways it accepts.
type Auth struct {
	// Tokens.
	JWT JWT `yaml:"jwt"`
}

// JWT are tokens in the auth payload of a client: {token: "..."}.
type JWT struct {
	// Algorithms that are accepted: HS256, HS384, HS512, RS256, RS384, RS512,
	// ES256, ES384, ES512, EdDSA. If empty, those that fit the keys.
	Algorithms []string `yaml:"algorithms"`
	// Secret of the HS algorithms, 32 bytes at least.
	Secret Secret `yaml:"secret"`
	// A second secret, accepted while tokens by the old one are still about.
	PreviousSecret Secret `yaml:"previous_secret"`
	// File with a public key or certificate, PEM.
	PublicKeyFile string `yaml:"public_key_file"`
	// File with a JSON Web Key Set, read again when it changes.
	JWKSFile string `yaml:"jwks_file"`
	// URL of a JSON Web Key Set. It is kept, and fetched again for an unknown key,
	// at most once in 10 s.
	JWKSURL string `yaml:"jwks_url"`
	// Whether that may be http:// on another machine. Whoever is on the way can give
	// keys of his own then.
	JWKSAllowHTTP bool `yaml:"jwks_allow_http" default:"false"`
	// What the claim aud must be or have in it, if set.
	Audience string `yaml:"audience"`
	// What the claim iss must be, if set.
	Issuer string `yaml:"issuer"`
	// How far clocks may differ.
	Leeway time.Duration `yaml:"leeway" default:"30s"`
	// How long after its token has expired a client is closed, so that it can bring
	// a new one by the event "fanwire:auth" or by connecting again.
	Grace time.Duration `yaml:"grace" default:"25s"`
	// Claim with the rooms to join.
	RoomsClaim string `yaml:"rooms_claim" default:"rooms"`
	// Claim with the patterns of rooms that the client may join.
	MayJoinClaim string `yaml:"may_join_claim" default:"may_join"`
	// Claim with the patterns of events that the client may send.
	MaySendClaim string `yaml:"may_send_claim" default:"may_send"`
	// Claim with the patterns of namespaces that the token is good for.
	NamespaceClaim string `yaml:"namespaces_claim" default:"namespaces"`
}

// Namespace is what one namespace, or all that match a pattern, do.
type Namespace struct {
	// Name ("/chat") or pattern ("/tenant/{id}", a last "{rest...}" for all that
	// follows). The first that fits a client's namespace counts.
	Name string `yaml:"name"`
	// Ways to get in: anonymous, jwt, webhook. With jwt a token must be valid where there
	// is one, and there must be one if it is the only way. With webhook it is asked about
	// each client, after that, and has the last word.
	Auth []string `yaml:"auth" default:"[anonymous]"`
	// Webhook that decides on clients (auth: webhook), and hears of them.
	Webhook string `yaml:"webhook"`
	// What the webhook hears of besides: connected, disconnected.
	Notify []string `yaml:"notify"`
	// Rooms that each client joins, as templates. One whose field has no value is left
	// out.
	Join []string `yaml:"join"`
	// What happens to events; the first route that fits counts. Without one an
	// event is counted and ignored.
	Routes []Route `yaml:"routes"`
}

// Route says what happens to events. Exactly one of relay, webhook, stream, join,
// leave and ignore is set.
type Route struct {
	// Names of events; "*" stands for any characters.
	Events []string `yaml:"events"`
	// Events per second of one client that this route takes. What is above is
	// refused: an ack tells, with the error "rate". 0: no limit.
	Rate float64 `yaml:"rate" default:"0"`
	// Events at once of one client. 0: those of one second, and at least one.
	Burst int `yaml:"burst" default:"0"`
	// Largest event in bytes, JSON and attachments. 0: max_payload.
	MaxSize Size `yaml:"max_size" default:"0"`

	// Emit it to rooms.
	Relay *Relay `yaml:"relay"`
	// Send it to this webhook; its answer is the ack. The client's next event waits for
	// the answer.
	Webhook string `yaml:"webhook"`
	// Whether the next events need not wait for the webhook's answer; 64 of one client
	// at a time. They may be handled in another order then.
	Concurrent bool `yaml:"concurrent" default:"false"`
	// Append it to a Redis stream.
	Stream *Stream `yaml:"stream"`
	// Join the rooms in the first argument (a text or a list), if each fits one of
	// these patterns and, with a token that names some, one of the token's.
	Join *RoomRule `yaml:"join"`
	// Leave them.
	Leave *RoomRule `yaml:"leave"`
	// Do nothing, and count it as handled.
	Ignore bool `yaml:"ignore" default:"false"`
}

// Relay emits a client's event to others.
type Relay struct {
	// Rooms, as templates. Empty: everybody in the namespace.
	To []string `yaml:"to"`
	// Rooms left out.
	Except []string `yaml:"except"`
	// Whether the sender gets it as well.
	Self bool `yaml:"self" default:"false"`
	// Whether it may be dropped for clients that are not ready for it.
	Volatile bool `yaml:"volatile" default:"false"`
	// Name under which it is sent, as a template. If empty, its own.
	Event string `yaml:"event"`
	// Whether the sender must be in each room whose name {args} have a part in, and if
	// there is none such, in one of the rooms.
	Members bool `yaml:"members" default:"true"`
}

// Stream appends events to a Redis stream, from which backends read with consumer
// groups.
type Stream struct {
	// Key of the stream, as a template that begins with a text and has no {args} and no
	// {event}: clients do not choose keys in Redis.
	Key string `yaml:"key"`
	// About how many entries it has at most.
	MaxLen int `yaml:"max_len" default:"100000"`
}

// RoomRule are the rooms that clients may join or leave by themselves.
type RoomRule struct {
	// Patterns, as templates; "*" stands for any characters, but a star in a value only
	// for itself. A name that can be the id of a socket fits only a pattern that is this
	// very name: 20 characters of [A-Za-z0-9_-].
	Rooms []string `yaml:"rooms"`
}

// Webhook is a backend that is called by HTTP.
type Webhook struct {
	// Where requests go, by POST.
	URL string `yaml:"url"`
	// Secret that signs the requests (Standard Webhooks), 24 bytes at least; with
	// the prefix whsec_ it is base64.
	Secret Secret `yaml:"secret"`
	// A second secret, whose signature is sent besides.
	PreviousSecret Secret `yaml:"previous_secret"`
	// Deadline of a request, with all its retries.
	Timeout time.Duration `yaml:"timeout" default:"5s"`
	// How often a request is tried again that surely or safely can be: connected,
	// disconnected and connect after any failure, an event only if it was not sent.
	Retries int `yaml:"retries" default:"2"`
	// Whether an event may be tried again although the backend may have seen it: for
	// backends that know the ids of requests (header webhook-id) and answer one that
	// comes again as before.
	RetryEvents bool `yaml:"retry_events" default:"false"`
	// Requests at a time; others wait, within the deadline.
	MaxConcurrent int `yaml:"max_concurrent" default:"64"`
	// Requests that may wait; more are refused at once.
	MaxWaiting int `yaml:"max_waiting" default:"1000"`
	// Failures in a row that open the circuit.
	CircuitFailures int `yaml:"circuit_failures" default:"10"`
	// How long it stays open: requests fail at once then.
	CircuitPause time.Duration `yaml:"circuit_pause" default:"5s"`
	// Whether http:// is allowed.
	AllowHTTP bool `yaml:"allow_http" default:"false"`
	// Whether addresses of this machine, of private networks and of metadata services
	// are allowed.
	AllowPrivate bool `yaml:"allow_private" default:"false"`
	// Names of headers of the client's handshake that are passed on.
	Headers []string `yaml:"headers"`
	// TLS to the webhook.
	TLS HookTLS `yaml:"tls"`
}

// HookTLS is for the connection to a webhook.
type HookTLS struct {
	// Authorities of the server's certificate, PEM. If empty, those of the system.
	CAFile string `yaml:"ca_file"`
	// Certificate of this client, PEM, if the server asks for one.
	CertFile string `yaml:"cert_file"`
	// Key of this client, PEM.
	KeyFile string `yaml:"key_file"`
}

// API is the HTTP API of the admin listener.
type API struct {
	// Keys of backends. Without one the API is off.
	Keys []APIKey `yaml:"keys"`
	// Requests per second of all together. 0: no limit.
	Rate float64 `yaml:"rate" default:"2000"`
	// Requests at once.
	Burst int `yaml:"burst" default:"4000"`
	// Largest body.
	MaxBody Size `yaml:"max_body" default:"1MiB"`
	// How long an idempotency key is remembered.
	IdempotencyWindow time.Duration `yaml:"idempotency_window" default:"10m"`
}

// APIKey lets a backend in.
type APIKey struct {
	// Name for logs.
	Name string `yaml:"name"`
	// The key, 32 bytes at least.
	Key Secret `yaml:"key"`
	// What it may do: publish, manage, read.
	Scopes []string `yaml:"scopes" default:"[publish, manage, read]"`
	// Patterns of the namespaces it may do it in.
	Namespaces []string `yaml:"namespaces" default:"[\"*\"]"`
}

// AdminUI is the namespace of the official Socket.IO Admin UI.
type AdminUI struct {
	// Whether the namespace is there.
	Enabled bool `yaml:"enabled" default:"false"`
	// Name of the namespace.
	Namespace string `yaml:"namespace" default:"/admin"`
	// Name to log in with.
	Username string `yaml:"username" default:"admin"`
	// Hash of the password, as by bcrypt ("$2a$10$...").
	PasswordHash Secret `yaml:"password_hash"`
	// Whether nobody may change anything.
	ReadOnly bool `yaml:"read_only" default:"false"`
	// Whether admins may log in at the port of clients, too, and not at the admin
	// listener only.
	Public bool `yaml:"public" default:"false"`
	// development (each socket and event) or production (counts).
	Mode string `yaml:"mode" default:"development"`
	// Folder with the Admin UI's page, served on the admin listener below /admin-ui/.
	Dir string `yaml:"dir"`
}

// Console is our testing page on the admin listener.
type Console struct {
	// Whether it is served, below /console/. It needs an API key for the cluster's
	// view.
	Enabled bool `yaml:"enabled" default:"false"`
}

// Tracing sends OpenTelemetry traces by OTLP over HTTP.
type Tracing struct {
	// URL of the collector, as in http://collector:4318. If empty, tracing is off.
	Endpoint string `yaml:"endpoint"`
	// Part of the messages that are traced, 0 to 1.
	Sample float64 `yaml:"sample" default:"0.01"`
	// Name of this service in the traces.
	Service string `yaml:"service" default:"fanwire"`
}

// Log goes to standard error.
type Log struct {
	// Lowest level: debug, info, warn or error.
	Level string `yaml:"level" default:"info"`
	// Form of the lines: json or text.
	Format string `yaml:"format" default:"json"`
}

// Drain is what happens on SIGTERM.
type Drain struct {
	// Time between "not ready" and the first client that is let go.
	Delay time.Duration `yaml:"delay" default:"5s"`
	// Time over which clients are let go.
	Spread time.Duration `yaml:"spread" default:"20s"`
	// Longest time for all of it.
	Timeout time.Duration `yaml:"timeout" default:"40s"`
	// Status of /readyz while not ready: 503, or 404 for the drain mode of HAProxy.
	NotReadyStatus int `yaml:"not_ready_status" default:"503"`
}
