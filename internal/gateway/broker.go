package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync/atomic"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/adapter/redis"
	"github.com/fanwire/fanwire/internal/gateway/config"
)

// broker is the connection to Redis, and Redis itself where none is configured.
type broker struct {
	client   goredis.UniversalClient
	once     goredis.UniversalClient // does nothing a second time by itself, and heeds deadlines
	embedded *miniredis.Miniredis    // nil with a real one
	address  atomic.Value            // of the embedded one, a string, once it has started
	log      *slog.Logger
}

// newBroker makes a client, which connects when it is used.
func newBroker(cfg *config.Redis, log *slog.Logger) (*broker, error) {
	b := &broker{log: log}
	if len(cfg.Addresses) == 0 {
		if cfg.Adapter == "sharded" {
			return nil, errors.New("redis.adapter: the embedded Redis has no sharded pub/sub; set redis.addresses, or classic or streams")
		}
		return newEmbedded(cfg, log), nil
	}
	opts, err := redisOptions(cfg)
	if err != nil {
		return nil, err
	}
	if b.client, err = open(cfg.Mode, opts); err != nil {
		return nil, err
	}
	opts.MaxRetries, opts.ContextTimeoutEnabled = -1, true
	if b.once, err = open(cfg.Mode, opts); err != nil {
		return nil, err
	}
	return b, nil
}

var errNotStarted = errors.New("the embedded Redis has not started")

func newEmbedded(cfg *config.Redis, log *slog.Logger) *broker {
	b := &broker{embedded: miniredis.NewMiniRedis(), log: log}
	b.embedded.ClockTTL(true)
	if cfg.Password.IsSet() {
		b.embedded.RequireAuth(cfg.Password.Reveal())
	}
	opts := goredis.Options{
		Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) {
			address, ok := b.address.Load().(string)
			if !ok {
				return nil, errNotStarted
			}
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		},
		Password:        cfg.Password.Reveal(),
		DisableIdentity: true,
	}
	once := opts
	once.MaxRetries, once.ContextTimeoutEnabled = -1, true
	b.client, b.once = goredis.NewClient(&opts), goredis.NewClient(&once)
	return b
}

func open(mode string, opts *goredis.UniversalOptions) (goredis.UniversalClient, error) {
	switch mode {
	case "", "single":
		return goredis.NewClient(opts.Simple()), nil
	case "sentinel":
		return goredis.NewFailoverClient(opts.Failover()), nil
	case "cluster":
		return goredis.NewClusterClient(opts.Cluster()), nil
	}
	return nil, fmt.Errorf("redis.mode: %q is none of single, sentinel, cluster", mode)
}

// redisOptions are those of all kinds of clients.
func redisOptions(cfg *config.Redis) (*goredis.UniversalOptions, error) {
	o := &goredis.UniversalOptions{
		Addrs:            cfg.Addresses,
		DB:               cfg.Database,
		Username:         cfg.Username,
		Password:         cfg.Password.Reveal(),
		SentinelUsername: cfg.SentinelUsername,
		SentinelPassword: cfg.SentinelPassword.Reveal(),
		MasterName:       cfg.MasterName,
		// Neither is needed, and an account with little rights may not (HRD-65).
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	secure := cfg.TLS.Enabled
	if len(cfg.Addresses) == 1 && strings.Contains(cfg.Addresses[0], "://") {
		u, err := goredis.ParseURL(cfg.Addresses[0])
		if err != nil {
			return nil, errors.New("redis.addresses: not of the form host:port, redis://host:port or rediss://host:port")
		}
		if u.Password != "" {
			return nil, errors.New("redis.addresses: a password belongs in redis.password")
		}
		o.Addrs = []string{u.Addr}
		secure = secure || u.TLSConfig != nil
		if u.DB != 0 {
			o.DB = u.DB
		}
		if u.Username != "" {
			o.Username = u.Username
		}
	}
	if secure {
		c, err := clientTLS(cfg.TLS.CAFile, cfg.TLS.CertFile, cfg.TLS.KeyFile, cfg.TLS.ServerName)
		if err != nil {
			return nil, fmt.Errorf("redis.tls: %w", err)
		}
		o.TLSConfig = c
	}
	return o, nil
}

// clientTLS is for connections that we open. The certificate is read for each, so
// that it may change.
func clientTLS(caFile, certFile, keyFile, serverName string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: serverName}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, err
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: no certificate in it", caFile)
		}
	}
	if certFile != "" {
		if _, err := tls.LoadX509KeyPair(certFile, keyFile); err != nil {
			return nil, err
		}
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(certFile, keyFile)
			return &pair, err
		}
	}
	return c, nil
}

// adapter is the one that is configured, nil for none.
func (b *broker) adapter(cfg *config.Redis, log *slog.Logger) (adapter.Factory, error) {
	common := redis.Config{Key: cfg.Prefix, Logger: log}
	switch cfg.Adapter {
	case "none":
		return nil, nil
	case "", "classic":
		return redis.NewAdapter(b.client, common), nil
	case "sharded":
		return redis.NewShardedAdapter(b.client, common), nil
	case "streams":
		return redis.NewStreamsAdapter(b.client, redis.StreamsConfig{
			Config:     common,
			Sharded:    cfg.Mode == "cluster",
			StreamName: cfg.Prefix,
			MaxLen:     cfg.StreamLength,
		}), nil
	}
	return nil, fmt.Errorf("redis.adapter: %q is none of classic, sharded, streams, none", cfg.Adapter)
}

// start starts the embedded Redis.
func (b *broker) start() error {
	if b.embedded == nil {
		return nil
	}
	if err := b.embedded.Start(); err != nil {
		return fmt.Errorf("embedded Redis: %w", err)
	}
	b.address.Store(b.embedded.Addr())
	b.log.Warn("no redis.addresses: an embedded Redis serves this node alone; nothing is shared with other nodes, and nothing survives the process",
		"address", b.address.Load())
	return nil
}

func (b *broker) close() error {
	var errs []error
	for _, c := range []goredis.UniversalClient{b.client, b.once} {
		if err := c.Close(); err != nil && !errors.Is(err, goredis.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if b.embedded != nil {
		b.embedded.Close()
	}
	return errors.Join(errs...)
}
