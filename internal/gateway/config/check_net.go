package config

import (
	"net"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	second = time.Second
	day    = 24 * time.Hour
)

var nodeID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)

func (k *checker) node() {
	n := k.c.Node
	if n.ID != "" && !nodeID.MatchString(n.ID) {
		k.bad("node.id", "must be 1 to 32 of A-Z, a-z, 0-9, _ and -")
	}
	if n.Advertise != "" {
		if u := k.url("node.advertise", n.Advertise, "http", "https"); u != nil && (strings.Trim(u.Path, "/") != "" || u.RawQuery != "") {
			k.bad("node.advertise", "must end after the port, as in http://10.0.0.7:3000")
		}
	}
	if message := badHostPort(n.PeerAddress, 0); n.PeerAddress != "" && message != "" {
		k.bad("node.peer_address", "must be host:port: %s", message)
	}
	k.ownPort("node.peer_address", n.PeerAddress, "listen.address", k.c.Listen.Address)
	k.ownPort("node.peer_address", n.PeerAddress, "admin.address", k.c.Admin.Address)
	k.secret("node.cluster_secret", n.ClusterSecret, 16)
}

func (k *checker) listen() {
	l := k.c.Listen
	k.address("listen.address", l.Address)
	if mode, err := strconv.ParseUint(l.UnixMode, 8, 32); err != nil || mode > 0o777 {
		k.bad("listen.unix_mode", "must be an octal number up to 0777, as in 0660")
	}
	k.serverTLS("listen.tls", l.TLS)
	between(k, "listen.max_connections", l.MaxConnections, 0, 10_000_000)
	between(k, "listen.max_per_address", l.MaxPerAddress, 0, 10_000_000)
	for i, v := range l.TrustedProxies {
		_, asPrefix := netip.ParsePrefix(v)
		if addr, err := netip.ParseAddr(v); v != "unix" && asPrefix != nil && (err != nil || addr.Zone() != "") {
			k.bad(index("listen.trusted_proxies", i), "must be an address or a network, as in 10.0.0.0/8, and is %s", quote(v))
		}
	}
}

func (k *checker) admin() {
	a := k.c.Admin
	k.serverTLS("admin.tls", a.TLS)
	if a.Address == "off" {
		if k.c.Console.Enabled {
			k.bad("console.enabled", "needs the admin listener, and admin.address is off")
		}
		if len(k.c.API.Keys) > 0 {
			k.warn("api.keys", "serve nothing while admin.address is off")
		}
		return
	}
	k.address("admin.address", a.Address)
	k.ownPort("admin.address", a.Address, "listen.address", k.c.Listen.Address)
}

// ownPort refuses the address of another listener, unless any port will do.
func (k *checker) ownPort(path, address, otherPath, other string) {
	_, port, err := net.SplitHostPort(address)
	if address == other && address != "" && (err != nil || port != "0") {
		k.bad(path, "is that of %s: it needs one of its own", otherPath)
	}
}

func (k *checker) redis() {
	r := k.c.Redis
	k.oneOf("redis.mode", r.Mode, "single", "sentinel", "cluster")
	k.oneOf("redis.adapter", r.Adapter, "classic", "sharded", "streams", "none")
	for _, s := range []struct{ name, address string }{{"advertise", k.c.Node.Advertise}, {"peer_address", k.c.Node.PeerAddress}} {
		if r.Adapter == "none" && s.address != "" {
			k.bad("node."+s.name, "is for other nodes, and with redis.adapter none there are none")
		}
	}
	secure := k.redisAddresses()
	if r.Mode == "sentinel" && r.MasterName == "" {
		k.bad("redis.master_name", "is needed with the mode sentinel")
	}
	if r.Mode != "sentinel" {
		for _, s := range []struct {
			name string
			set  bool
		}{
			{"master_name", r.MasterName != ""},
			{"sentinel_username", r.SentinelUsername != ""},
			{"sentinel_password", r.SentinelPassword.IsSet()},
		} {
			if s.set {
				k.bad("redis."+s.name, "is for the mode sentinel only")
			}
		}
	}
	between(k, "redis.database", r.Database, 0, 1_000_000)
	if r.Mode == "cluster" && r.Database != 0 {
		k.bad("redis.database", "cannot be chosen with the mode cluster")
	}
	k.clientTLS("redis.tls", r.TLS.CAFile, r.TLS.CertFile, r.TLS.KeyFile)
	if !r.TLS.Enabled && !secure && (r.TLS.CAFile != "" || r.TLS.CertFile != "" || r.TLS.KeyFile != "" || r.TLS.ServerName != "") {
		k.bad("redis.tls.enabled", "is false, though there are files or a name for TLS")
	}
	k.text("redis.prefix", r.Prefix, 128)
	if r.Prefix == "" {
		k.bad("redis.prefix", "must not be empty")
	}
	between(k, "redis.stream_length", r.StreamLength, 1, 100_000_000)
}

// redisAddresses tells whether they ask for TLS.
func (k *checker) redisAddresses() (secure bool) {
	const path = "redis.addresses"
	r := k.c.Redis
	if len(r.Addresses) == 0 {
		switch {
		case r.Mode == "sentinel", r.Mode == "cluster":
			k.bad(path, "must be given with the mode %s", r.Mode)
		case r.Adapter == "sharded":
			k.bad("redis.adapter", "cannot be sharded with the embedded Redis: there are no redis.addresses")
		case r.Password.IsSet():
			k.bad("redis.password", "is set, but there are no redis.addresses: the embedded Redis would serve this node alone")
		}
		return false
	}
	if r.Mode == "single" && len(r.Addresses) > 1 {
		k.bad(path, "must be one with the mode single")
	}
	for i, v := range r.Addresses {
		at := index(path, i)
		if !strings.Contains(v, "://") {
			if badHostPort(v, 1) != "" { // not shown: there may be a password in it
				k.bad(at, "must be host:port or a URL")
			}
			continue
		}
		if len(r.Addresses) > 1 || r.Mode == "sentinel" {
			k.bad(at, "must be host:port: a URL stands alone, and not for sentinels")
			continue
		}
		u := k.redisURL(at, v)
		secure = u != nil && u.Scheme == "rediss"
	}
	return secure
}

func (k *checker) redisURL(at, v string) *url.URL {
	u, err := url.Parse(v)
	if err == nil {
		if _, ok := u.User.Password(); ok {
			k.bad(at, "must have no password in it: use redis.password")
			return nil
		}
		if u.User != nil {
			k.bad(at, "must have no user in it: use redis.username")
			return nil
		}
	}
	if u = k.url(at, v, "redis", "rediss"); u == nil {
		return nil
	}
	if u.RawQuery != "" {
		k.bad(at, "must have no parameters (?)")
	}
	if db := strings.Trim(u.Path, "/"); db != "" {
		if n, err := strconv.ParseUint(db, 10, 31); err != nil {
			k.bad(at, "must end in the number of a database, if anything follows the host")
		} else if k.c.Redis.Database != 0 && uint64(k.c.Redis.Database) != n { //nolint:gosec // checked for its sign elsewhere
			k.bad(at, "names another database than redis.database")
		}
	}
	return u
}

func (k *checker) socketIO() {
	s := k.c.SocketIO
	if !strings.HasPrefix(s.Path, "/") || strings.ContainsAny(s.Path, "?#{} ") || strings.ContainsFunc(s.Path, isControl) || len(s.Path) > 256 {
		k.bad("socketio.path", "must be a path that begins with a slash, as in /socket.io/")
	}
	between(k, "socketio.ping_interval", s.PingInterval, second, day)
	between(k, "socketio.ping_timeout", s.PingTimeout, second, day)
	between(k, "socketio.upgrade_timeout", s.UpgradeTimeout, second, time.Hour)
	between(k, "socketio.connect_timeout", s.ConnectTimeout, second, time.Hour)
	between(k, "socketio.max_payload", s.MaxPayload, 1e3, 1<<30)
	if len(s.Transports) == 0 {
		k.bad("socketio.transports", "must name one at least")
	}
	k.someOf("socketio.transports", s.Transports, "polling", "websocket")
	k.oneOf("socketio.parser", s.Parser, "default", "msgpack")
	if s.Cookie != "" && !isToken(s.Cookie) {
		k.bad("socketio.cookie", "is no name of a cookie")
	}
	k.folder("socketio.client_dir", s.ClientDir)
	orZero(k, "socketio.recovery", s.Recovery, second, day)
	k.cors()
}

func (k *checker) cors() {
	c := k.c.SocketIO.CORS
	const path = "socketio.cors.origins"
	for i, v := range c.Origins {
		at := index(path, i)
		if v == "*" {
			if c.Credentials {
				k.bad(at, `cannot be "*" with credentials: list the origins (HRD-13)`)
			}
			continue
		}
		if v == "null" {
			continue
		}
		u, err := url.Parse(v)
		switch {
		case err != nil || u.Scheme == "" || !strings.Contains(v, "://"):
			k.bad(at, `must be an origin as in https://app.example, or "*"`)
		case u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
			k.bad(at, "must end after the host and the port: browsers send no more, not even a slash")
		case v != strings.ToLower(v):
			k.bad(at, "must be in small letters, as browsers send it")
		}
	}
	k.tokens("socketio.cors.allowed_headers", c.AllowedHeaders)
	between(k, "socketio.cors.max_age", c.MaxAge, 0, 30*day)
}

func (k *checker) limits() {
	l := k.c.Limits
	const many = 1 << 30
	between(k, "limits.handshake_rate", l.HandshakeRate, 0, many)
	between(k, "limits.packet_rate", l.PacketRate, 0, many)
	orZero(k, "limits.byte_rate", l.ByteRate, 1<<10, 1<<40)
	if l.HandshakeRate > 0 {
		between(k, "limits.handshake_burst", l.HandshakeBurst, 1, many)
	}
	if l.PacketRate > 0 {
		between(k, "limits.packet_burst", l.PacketBurst, 1, many)
	}
	if l.ByteRate > 0 {
		between(k, "limits.byte_burst", l.ByteBurst, 1<<10, many)
	}
	between(k, "limits.sessions", l.Sessions, 0, many)
	between(k, "limits.output", l.Output, 64<<10, many)
	between(k, "limits.rooms", l.Rooms, 0, many)
	between(k, "limits.room_name", l.RoomName, 1, 4096)
	between(k, "limits.namespaces", l.Namespaces, 1, 10_000)
	between(k, "limits.attachments", l.Attachments, 1, 10_000)
}

// rest are the parts that need little.
func (k *checker) rest() {
	k.adminUI()
	k.loadTest()
	t := k.c.Tracing
	if t.Endpoint != "" {
		k.url("tracing.endpoint", t.Endpoint, "http", "https")
	}
	between(k, "tracing.sample", t.Sample, 0, 1)
	if t.Service == "" {
		k.bad("tracing.service", "must not be empty")
	}
	k.text("tracing.service", t.Service, 256)
	k.oneOf("log.level", k.c.Log.Level, "debug", "info", "warn", "error")
	k.oneOf("log.format", k.c.Log.Format, "json", "text")
	d := k.c.Drain
	between(k, "drain.delay", d.Delay, 0, time.Hour)
	between(k, "drain.spread", d.Spread, 0, time.Hour)
	between(k, "drain.timeout", d.Timeout, 0, 3*time.Hour)
	if d.Timeout < d.Delay+d.Spread {
		k.bad("drain.timeout", "must be as long as delay and spread together, %v", d.Delay+d.Spread)
	}
	k.oneOf("drain.not_ready_status", strconv.Itoa(d.NotReadyStatus), "503", "404")
}

var bcryptHash = regexp.MustCompile(`^\$2[aby]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}$`)

func (k *checker) adminUI() {
	a := k.c.AdminUI
	k.oneOf("admin_ui.mode", a.Mode, "development", "production")
	k.folder("admin_ui.dir", a.Dir)
	if a.PasswordHash.IsSet() && !bcryptHash.MatchString(a.PasswordHash.Reveal()) {
		k.bad("admin_ui.password_hash", "must be a hash by bcrypt, as in $2b$10$...")
	}
	if names := k.pathNames("admin_ui.namespace", a.Namespace); len(names) > 0 || a.Namespace == "/" {
		k.bad("admin_ui.namespace", "must be the name of one namespace, and not /")
	}
	if !a.Enabled {
		return
	}
	k.text("admin_ui.username", a.Username, 128)
	if a.Username == "" {
		k.bad("admin_ui.username", "must not be empty")
	}
	if !a.PasswordHash.IsSet() {
		k.bad("admin_ui.password_hash", "is needed: there is no default password")
	}
}

func (k *checker) loadTest() {
	if !k.c.LoadTest {
		return
	}
	if k.c.AdminUI.Enabled && k.c.AdminUI.Namespace == LoadTestNamespace {
		k.bad("admin_ui.namespace", "is that of loadtest")
	}
	k.warn("loadtest", "lets anybody emit to everybody in %s: not for production", LoadTestNamespace)
}

func (k *checker) folder(path, v string) {
	if v == "" {
		return
	}
	switch info, err := os.Stat(v); {
	case err != nil:
		k.bad(path, "%s: %v", quote(v), reason(err))
	case !info.IsDir():
		k.bad(path, "%s is no folder", quote(v))
	}
}
