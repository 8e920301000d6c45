package badinput

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fanwire/fanwire/internal/listener"
	"github.com/fanwire/fanwire/node"
)

func TestB10HandshakesWithoutFollowUp(t *testing.T) {
	attempts, most := scaled(22_000, 1500), scaled(20_000, 1000)
	o := options{node: node.Config{FirstConnectTimeout: short(5 * time.Second), Limits: node.Limits{Pending: most}}}
	row(t, o, func(t *testing.T, s *stack) {
		before := liveHeap()
		var opened, refused atomic.Int64
		var clients sync.WaitGroup
		begin := time.Now()
		for range 20 {
			clients.Go(func() {
				for range attempts / 20 {
					res, err := s.http.Get(s.listener.URL() + "/socket.io/?EIO=4&transport=polling")
					if err != nil {
						t.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, res.Body)
					_ = res.Body.Close()
					switch {
					case res.StatusCode == 200:
						opened.Add(1)
					case res.StatusCode == 503 && res.Header.Get("Retry-After") != "":
						refused.Add(1)
					default:
						t.Errorf("%s %v", res.Status, res.Header)
					}
				}
			})
		}
		clients.Wait()
		t.Logf("%d opened, %d refused in %v", opened.Load(), refused.Load(), time.Since(begin))
		s.http.CloseIdleConnections()
		if n := opened.Load(); n > int64(most) && time.Since(begin) < 5*time.Second || n < int64(most) {
			t.Errorf("%d opened, the bound is %d", n, most)
		}
		if pending := s.node.Stats().Pending; pending > 0 {
			s.grew(t, before, 8<<10*max(pending, 100)+2<<20)
		}
		s.canary.beat(t)
		eventually(t, "all are gone", func() bool { return s.node.Stats().Sessions == 1 })
	})
}

// The times of the listener that rows here shorten are these (HRD-10).
func TestDefaultTimes(t *testing.T) {
	begin := time.Now()
	slowRow(t, options{}, func(t *testing.T, s *stack) {
		nc := s.dial(t)
		_, _ = io.WriteString(nc, "G")
		readToEnd(t, nc)
		if d := time.Since(begin); d < 9*time.Second {
			t.Errorf("headers have %v, want 10 s", d)
		}
	})
}

// readToEnd waits until the server ends the connection, and returns what it has
// said.
func readToEnd(t testing.TB, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil && !strings.Contains(err.Error(), "reset by peer") {
		t.Errorf("the connection stays: %v", err)
	}
	return string(b)
}

func TestB11SlowHeaders(t *testing.T) {
	o := options{listen: listener.Config{ReadHeaderTimeout: short(2 * time.Second)}}
	row(t, o, func(t *testing.T, s *stack) {
		var all sync.WaitGroup
		for range scaled(2000, 200) {
			nc := s.dial(t)
			_, _ = io.WriteString(nc, "G")
			all.Go(func() { readToEnd(t, nc); _ = nc.Close() })
		}
		slow := s.dial(t)
		_, _ = io.WriteString(slow, "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\nX-A: ")
		all.Go(func() {
			every := time.NewTicker(100 * time.Millisecond)
			defer every.Stop()
			for range every.C {
				if _, err := io.WriteString(slow, "a"); err != nil {
					return
				}
			}
		})
		all.Go(func() {
			answer := readToEnd(t, slow)
			_ = slow.Close()
			if answer != "" && !strings.HasPrefix(answer, "HTTP/1.1 4") {
				t.Errorf("slow header line: %.100q", answer)
			}
		})
		s.canary.beat(t)
		s.newClient(t)
		all.Wait()
	})
}

// A body has 15 s, whatever the listener grants (HRD-10, HRD-22).
func TestB11SlowBody(t *testing.T) {
	slowRow(t, options{}, func(t *testing.T, s *stack) {
		p := s.polling(t)
		nc := s.dial(t)
		_, _ = fmt.Fprintf(nc, "POST /socket.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", p.sid)
		quit := make(chan struct{})
		var feeder sync.WaitGroup
		feeder.Go(func() {
			every := time.NewTicker(time.Second)
			defer every.Stop()
			for {
				select {
				case <-quit:
					return
				case <-every.C:
					_, _ = io.WriteString(nc, "4")
				}
			}
		})
		status, body, _ := answer(t, bufio.NewReader(nc))
		close(quit)
		feeder.Wait()
		want(t, "slow body", status, body, http.StatusRequestTimeout, "")
		p.closed()
	})
}
