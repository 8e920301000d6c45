// Package redistest starts real Redis servers for tests.
package redistest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// requireAll is the environment variable that turns skipped tests into failed
// ones.
const requireAll = "FANWIRE_REQUIRE_ALL"

// startTimeout is how long a server may take to answer.
const startTimeout = time.Minute

// Server is a redis-server without persistence, a child process on a free port
// of the loopback interface. It is stopped when the test ends.
type Server struct {
	Addr string

	port string
	bin  string
	args []string
	mu   sync.Mutex // guards cmd
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
}

// Start starts a server, or skips the test where there is no redis-server. args
// are further options of it.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	return launch(t, func(port string) []string {
		return append([]string{
			"--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no", "--loglevel", "warning",
		}, args...)
	})
}

// launch starts redis-server with the arguments for a free port.
func launch(t testing.TB, args func(port string) []string) *Server {
	t.Helper()
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv(requireAll) == "1" {
			t.Fatalf("%s=1, but there is no redis-server: %v", requireAll, err)
		}
		t.Skipf("SKIPPED: this test needs a redis-server binary: %v", err)
	}
	var failed error
	for range 5 { // another process may take the port before Redis does
		port := freePort(t)
		s := &Server{Addr: net.JoinHostPort("127.0.0.1", port), port: port, bin: bin, args: args(port)}
		if failed = s.run(t.Context()); failed == nil {
			t.Cleanup(s.Kill)
			return s
		}
	}
	t.Fatalf("start redis-server: %v", failed)
	return nil
}

// Ports of servers. The system gives none of them to a connection, nor of the bus of a
// cluster, which has the port 10,000 above: so nobody else takes that of a server that
// is to be started again.
const (
	firstPort = 11_000
	lastPort  = 20_999
)

func freePort(t testing.TB) string {
	t.Helper()
	var failed error
	for range 100 {
		port := strconv.Itoa(firstPort + rand.IntN(lastPort-firstPort+1))
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
		if err == nil {
			l.Close()
			return port
		}
		failed = err
	}
	t.Fatal(failed)
	return ""
}

// run starts the process and waits until it answers.
func (s *Server) run(ctx context.Context) error {
	cmd := exec.Command(s.bin, s.args...)
	cmd.Dir = os.TempDir()
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	go func() { // ends with the process, which Kill ends
		_ = cmd.Wait()
		close(done)
	}()
	s.mu.Lock()
	s.cmd, s.done = cmd, done
	s.mu.Unlock()
	if err := s.await(ctx, done); err != nil {
		s.Kill()
		return err
	}
	return nil
}

func (s *Server) await(ctx context.Context, done <-chan struct{}) error {
	client := goredis.NewClient(&goredis.Options{Addr: s.Addr, MaxRetries: -1, DialTimeout: time.Second})
	defer client.Close()
	deadline := time.Now().Add(startTimeout)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := client.Ping(ctx).Err()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("it does not answer: %w", err)
		}
		select {
		case <-done:
			return errors.New("it has ended")
		case <-tick.C:
		}
	}
}

// eventually waits until check finds nothing missing of what the servers should be.
func eventually(t testing.TB, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(startTimeout)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not %s: %v", what, err)
		}
		<-tick.C
	}
}

// Kill ends the process at once and waits for it. It may be called again.
func (s *Server) Kill() {
	s.mu.Lock()
	cmd, done := s.cmd, s.done
	s.mu.Unlock()
	_ = cmd.Process.Kill()
	<-done
}

// Restart starts a killed server again, on the same port.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	if err := s.run(t.Context()); err != nil {
		t.Fatalf("restart redis-server: %v", err)
	}
}

// Process is the running process, to be stopped and continued by signals.
func (s *Server) Process() *os.Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cmd.Process
}

// Client returns a client that is closed when the test ends.
func (s *Server) Client(t testing.TB) *goredis.Client {
	t.Helper()
	return NewClient(t, s.Addr)
}

// NewClient returns a client for any server, closed when the test ends.
func NewClient(t testing.TB, addr string) *goredis.Client {
	t.Helper()
	c := goredis.NewClient(&goredis.Options{Addr: addr})
	t.Cleanup(func() { _ = c.Close() })
	return c
}
