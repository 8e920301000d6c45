package gateway

import (
	"crypto/tls"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/fanwire/fanwire/adapter/redis/redistest"
	"github.com/fanwire/fanwire/client"
	"github.com/fanwire/fanwire/internal/gateway/config"
)

// Redis over TLS, with a user, and a certificate that only its own authority knows.
func TestRedisTLS(t *testing.T) {
	dir := t.TempDir()
	files := config.TLS{CertFile: filepath.Join(dir, "cert"), KeyFile: filepath.Join(dir, "key")}
	writeCertificate(t, files)
	pair, err := tls.LoadX509KeyPair(files.CertFile, files.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	redis, err := miniredis.RunTLS(&tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(redis.Close)
	redis.RequireUserAuth("fanwire", "secret")
	g := start(t, testConfig(withRules, func(c *config.Config) {
		c.Redis.Addresses = []string{"rediss://" + redis.Addr()}
		c.Redis.Username, c.Redis.Password = "fanwire", config.NewSecret("secret")
		c.Redis.TLS.CAFile = files.CertFile
	}))
	heard := make(chan string, 1)
	g.dial("/", client.Options{}, hears("say", heard))
	if status, body := g.post("/v1/emit", `{"all":true,"event":"say","args":["x"]}`); status >= 300 {
		t.Error(status, body)
	}
	next(t, heard)
}

// What the configuration says of Redis is what its client gets.
func TestRedisOptions(t *testing.T) {
	o, err := redisOptions(&config.Redis{
		Addresses: []string{"a:1", "b:2"}, Mode: "sentinel", MasterName: "main", Database: 3,
		Username: "u", Password: config.NewSecret("p"), SentinelUsername: "su", SentinelPassword: config.NewSecret("sp"),
		TLS: config.RedisTLS{Enabled: true, ServerName: "redis.example"},
	})
	if err != nil {
		t.Fatal(err)
	}
	f := o.Failover()
	if len(f.SentinelAddrs) != 2 || f.MasterName != "main" || f.DB != 3 || f.Username != "u" || f.Password != "p" ||
		f.SentinelUsername != "su" || f.SentinelPassword != "sp" || f.TLSConfig == nil || f.TLSConfig.ServerName != "redis.example" ||
		f.TLSConfig.MinVersion != tls.VersionTLS12 {
		t.Errorf("%+v", f)
	}
	o, err = redisOptions(&config.Redis{Addresses: []string{"redis://c:7/5"}})
	if err != nil {
		t.Fatal(err)
	}
	if s := o.Simple(); s.Addr != "c:7" || s.DB != 5 || s.TLSConfig != nil || !s.DisableIdentity {
		t.Errorf("%+v", s)
	}
	for _, mode := range []string{"single", "sentinel", "cluster"} {
		client, err := open(mode, o)
		if err != nil {
			t.Error(mode, err)
			continue
		}
		_ = client.Close()
	}
}

// Two gateways do all that goes through Redis where it is three masters, or watched by
// a Sentinel.
func TestRedisModes(t *testing.T) {
	masters := redistest.StartCluster(t, 3)
	sentinel := redistest.StartSentinel(t, patience) // no failover on a slow machine
	for _, adapter := range []string{"classic", "sharded", "streams"} {
		for mode, with := range map[string]func(*config.Redis){
			"cluster": func(c *config.Redis) {
				c.Mode, c.Addresses = "cluster", []string{masters[0].Addr, masters[1].Addr}
				c.Prefix = adapter // the other ones had the same masters
			},
			"sentinel": func(c *config.Redis) {
				c.Mode = "sentinel"
				c.MasterName, c.Addresses[0], _ = strings.Cut(sentinel.Flag(), "@")
				c.Prefix = adapter
			},
		} {
			t.Run(mode+", "+adapter, func(t *testing.T) {
				useAll(t, func(c *config.Config) {
					withRedis("", "", adapter, true)(c)
					with(&c.Redis)
				}, true)
			})
		}
	}
}

// The end does not wait for a Redis that is away.
func TestShutdownWithoutRedis(t *testing.T) {
	redis := miniredis.RunT(t)
	g := start(t, testConfig(withRules, func(c *config.Config) { c.Redis.Addresses = []string{redis.Addr()} }))
	g.dial("/", client.Options{})
	redis.Close()
	begun := time.Now()
	if err := g.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if err := g.Shutdown(t.Context()); err != nil {
		t.Log(err)
	}
	if took := time.Since(begun); took > 8*time.Second {
		t.Error("it took", took)
	}
}
