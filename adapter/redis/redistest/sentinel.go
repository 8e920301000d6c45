package redistest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// masterName is what the sentinel calls the master.
const masterName = "fanwire"

// Sentinel is a master, a replica of it, and the sentinel that watches both.
type Sentinel struct {
	Master, Replica *Server
	sentinel        *Server
}

// StartSentinel starts all three and waits until the sentinel could replace the
// master, which it does when that has not answered for downAfter. It skips like
// [Start].
func StartSentinel(t testing.TB, downAfter time.Duration) *Sentinel {
	t.Helper()
	s := &Sentinel{Master: Start(t, "--dir", t.TempDir(), "--repl-diskless-sync-delay", "0")}
	s.Replica = Start(t, "--dir", t.TempDir(), "--replicaof", "127.0.0.1 "+s.Master.port)
	replica := s.Replica.Client(t)
	eventually(t, "a replica", func() error {
		info, err := replica.Info(t.Context(), "replication").Result()
		if err == nil && !strings.Contains(info, "master_link_status:up") {
			err = errors.New(info)
		}
		return err
	})
	s.sentinel = startSentinel(t, s.Master.port, downAfter)
	client := s.client(t)
	eventually(t, "a sentinel", func() error { return s.watched(t, client) })
	return s
}

// startSentinel starts the process, which writes into its configuration file.
func startSentinel(t testing.TB, master string, downAfter time.Duration) *Server {
	t.Helper()
	dir := t.TempDir()
	return launch(t, func(port string) []string {
		file := filepath.Join(dir, "sentinel-"+port+".conf")
		lines := []string{
			"port " + port,
			"bind 127.0.0.1",
			fmt.Sprintf("dir %q", dir),
			"loglevel warning",
			fmt.Sprintf("sentinel monitor %s 127.0.0.1 %s 1", masterName, master),
			fmt.Sprintf("sentinel down-after-milliseconds %s %d", masterName, downAfter.Milliseconds()),
			fmt.Sprintf("sentinel failover-timeout %s 2000", masterName), // tried again after twice that
		}
		if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return []string{file, "--sentinel"}
	})
}

func (s *Sentinel) client(t testing.TB) *goredis.SentinelClient {
	t.Helper()
	c := goredis.NewSentinelClient(&goredis.Options{Addr: s.sentinel.Addr})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// watched says what the sentinel does not know of the two servers yet.
func (s *Sentinel) watched(t testing.TB, c *goredis.SentinelClient) error {
	t.Helper()
	master, err := c.Master(t.Context(), masterName).Result()
	if err != nil {
		return err
	}
	replicas, err := c.Replicas(t.Context(), masterName).Result()
	if err != nil {
		return err
	}
	if master["flags"] != "master" || len(replicas) != 1 || replicas[0]["flags"] != "slave" || replicas[0]["master-link-status"] != "ok" {
		return fmt.Errorf("master %v, replicas %v", master, replicas)
	}
	return nil
}

// Client returns a client for the server that is the master at the time, closed
// when the test ends.
func (s *Sentinel) Client(t testing.TB) *goredis.Client {
	t.Helper()
	c := goredis.NewFailoverClient(&goredis.FailoverOptions{MasterName: masterName, SentinelAddrs: []string{s.sentinel.Addr}})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Flag names the master and the sentinel, as name@host:port.
func (s *Sentinel) Flag() string { return masterName + "@" + s.sentinel.Addr }

// MasterAddr is the address of the server that is the master for the sentinel.
func (s *Sentinel) MasterAddr(t testing.TB) string {
	t.Helper()
	addr, err := s.client(t).GetMasterAddrByName(t.Context(), masterName).Result()
	if err != nil || len(addr) != 2 {
		t.Fatalf("ask the sentinel: %v, %v", addr, err)
	}
	return addr[0] + ":" + addr[1]
}
