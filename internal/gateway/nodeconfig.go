package gateway

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"os"
	"strings"

	"github.com/fanwire/fanwire/internal/gateway/config"
	"github.com/fanwire/fanwire/node"
	"github.com/fanwire/fanwire/protocol/msgpack"
)

// nodeConfig is the node's part of the configuration. The adapter is not in it.
func nodeConfig(cfg *config.Config, log *slog.Logger, forwarded int) (node.Config, error) {
	s := &cfg.SocketIO
	c := node.Config{
		Path:           s.Path,
		NodeID:         cfg.Node.ID,
		Advertise:      cfg.Node.Advertise,
		ClusterSecret:  []byte(cfg.Node.ClusterSecret.Reveal()),
		PingInterval:   s.PingInterval,
		PingTimeout:    s.PingTimeout,
		UpgradeTimeout: s.UpgradeTimeout,
		ConnectTimeout: s.ConnectTimeout,

		MaxPayload:        int(s.MaxPayload),
		Transports:        s.Transports,
		AllowEIO3:         s.AllowEIO3,
		PerMessageDeflate: s.PerMessageDeflate,
		CORS: node.CORS{
			Origins:        s.CORS.Origins,
			Credentials:    s.CORS.Credentials,
			AllowedHeaders: s.CORS.AllowedHeaders,
			MaxAge:         s.CORS.MaxAge,
		},
		Limits: nodeLimits(&cfg.Limits, forwarded),
		Logger: log,
	}
	switch s.Parser {
	case "", "default":
	case "msgpack":
		c.Parser = msgpack.Parser
	default:
		return c, fmt.Errorf("socketio.parser: %q is neither default nor msgpack", s.Parser)
	}
	if s.Cookie != "" {
		c.Cookie = &http.Cookie{
			Name: s.Cookie, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
			Secure: cfg.Listen.TLS.CertFile != "",
		}
	}
	if s.ClientDir != "" {
		if _, err := os.ReadDir(s.ClientDir); err != nil {
			return c, fmt.Errorf("socketio.client_dir: %w", err)
		}
		c.ClientFiles = os.DirFS(s.ClientDir)
	}
	if s.Recovery > 0 {
		// The middlewares run: a token may have been revoked meanwhile.
		c.Recovery = &node.Recovery{MaxDisconnection: s.Recovery, RunMiddlewares: true}
	}
	return c, nil
}

// nodeID is the configured name of this node, or one that is made up.
func nodeID(cfg *config.Config) string {
	return orText(cfg.Node.ID, strings.ToLower(rand.Text()[:8]))
}

// nodeLimits are the limits of clients, where 0 is none, as node has them.
func nodeLimits(l *config.Limits, forwarded int) node.Limits {
	return node.Limits{
		HandshakeRate:  l.HandshakeRate,
		HandshakeBurst: l.HandshakeBurst,
		Sessions:       l.Sessions,
		PacketRate:     l.PacketRate,
		PacketBurst:    l.PacketBurst,
		ByteRate:       float64(l.ByteRate),
		ByteBurst:      int(l.ByteBurst),
		Output:         int(orNone(l.Output)),
		Rooms:          orNone(l.Rooms),
		Namespaces:     orNone(l.Namespaces),
		Attachments:    orNone(l.Attachments),
		Forwarded:      forwarded,
	}
}

// orNone gives no limit a number.
func orNone[T int | config.Size](n T) T {
	if n <= 0 {
		return math.MaxInt32
	}
	return n
}

// connections says who may have how many descriptors (HRD-74).
type connections struct {
	clients   int // connections of clients
	admin     int
	forwarded int // requests that are handed on to other nodes, each by one more connection
}

// shareOut divides the connections that the limit of open files allows. A request
// that is handed on takes a second connection, so a quarter is set aside for those;
// the admin listener takes some of the reserve.
func shareOut(configured, possible int) connections {
	c := connections{
		admin:     min(max(possible/8, 4), 256),
		forwarded: min(max(possible/4, 1), 4096),
	}
	c.clients = max(possible-c.forwarded, 1)
	if configured > 0 {
		c.clients = configured
	}
	return c
}
