package badinput

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fanwire/fanwire/node"
)

// target is the request target of a session.
func (p *poller) target() string { return "/socket.io/?EIO=4&transport=polling&sid=" + p.sid }

func TestB12LargeBody(t *testing.T) {
	row(t, options{}, func(t *testing.T, s *stack) {
		p := s.polling(t)
		got := p.post("4" + strings.Repeat("x", 2_000_000-1))
		if got != "413 " && !strings.HasPrefix(got, "error:") { // the server may close before all is sent
			t.Errorf("got %.100s", got)
		}
		status, body, _ := s.ask(t, "POST "+p.target()+" HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n"+strings.Repeat("4", 1_100_000))
		want(t, "two megabytes announced", status, body, 413, "")
		p.alive()
		p.ok("1")
	})
}

func TestB13EndlessBody(t *testing.T) {
	row(t, options{}, func(t *testing.T, s *stack) {
		defer s.watch(t)()
		p := s.polling(t)
		nc := s.dial(t)
		var sender sync.WaitGroup
		sender.Go(func() {
			_, _ = io.WriteString(nc, "POST "+p.target()+" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
			chunk := []byte("10000\r\n" + strings.Repeat("4", 1<<16) + "\r\n")
			for range 50 << 20 >> 16 {
				if _, err := nc.Write(chunk); err != nil {
					return
				}
			}
		})
		br := bufio.NewReader(nc)
		status, body, header := answer(t, br)
		want(t, "chunked", status, body, 413, "")
		if header.Get("Connection") != "close" {
			t.Error("the connection stays")
		}
		readToEnd(t, br)
		sender.Wait()
		p.alive()
		p.ok("1")
	})
}

func TestB14Overlaps(t *testing.T) {
	row(t, options{}, func(t *testing.T, s *stack) {
		p := s.polling(t) // two GETs; whichever comes first is released
		answers := make(chan string, 2)
		for range 2 {
			go func() { answers <- p.get() }()
		}
		got := []string{<-answers, <-answers}
		if !(got[0] == "400 " && got[1] == "200 1" || got[1] == "400 " && got[0] == "200 1") {
			t.Errorf("two GETs: %q", got)
		}
		p.closed()

		eventually(t, "a GET is released", func() bool { return overlappingPosts(t, s) == "200 1" })

		p = s.polling(t) // what follows a close is ignored, what comes after it refused
		p.ok("1\x1e42[\"msg\",1]\x1e40/a,")
		for _, got := range []string{p.post("6"), p.get()} {
			if got != unknownSession {
				t.Errorf("after the close: %s", got)
			}
		}
	})
}

// overlappingPosts sends a GET and two POSTs, one of them stalled, and returns the
// answer of the GET, which may have come too late to be held.
func overlappingPosts(t *testing.T, s *stack) string {
	t.Helper()
	p := s.polling(t)
	nc := s.dial(t)
	get := make(chan string, 1)
	go func() { get <- p.get() }()
	_, _ = io.WriteString(nc, "POST "+p.target()+" HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n4")
	second := ""
	eventually(t, "the stalled POST is being received", func() bool {
		second = p.post("6") // taken until the server has seen the other one
		return second != "200 ok"
	})
	status, rest, _ := answer(t, bufio.NewReader(nc)) // no status if the connection was closed
	switch cut := strings.HasPrefix(second, "error:"); {
	case status != 0 && status != 400 || strings.Contains(rest, "timeout"):
		t.Errorf("the stalled POST got %d %q", status, rest)
	case status == 400 && (second == unknownSession || cut):
		return "the stalled POST arrived while another was being received"
	case second != "400 ":
		t.Errorf("second POST: %s", second)
	}
	p.closed()
	return <-get
}

func TestB14StalledPosts(t *testing.T) {
	slowRow(t, options{}, func(t *testing.T, s *stack) {
		var all sync.WaitGroup
		for range scaled(200, 100) {
			p := s.polling(t)
			nc := s.dial(t)
			_, _ = io.WriteString(nc, "POST "+p.target()+" HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n4")
			all.Go(func() {
				status, body, _ := answer(t, bufio.NewReader(nc))
				want(t, "stalled POST", status, body, 408, "")
			})
		}
		s.canary.beat(t)
		s.newClient(t)
		all.Wait()
		eventually(t, "the sessions are closed", func() bool { return s.node.Stats().Sessions == 1 })
	})
}

func TestB15ContentTypes(t *testing.T) {
	row(t, options{}, func(t *testing.T, s *stack) {
		p := s.polling(t)
		if got := p.post("4a", "Content-Type", "multipart/form-data; boundary=x"); got != "415 " {
			t.Errorf("multipart: %s", got)
		}
		for _, encoding := range []string{"gzip", "deflate", "br", "identity"} {
			if got := p.post("\x1f\x8b\x08", "Content-Encoding", encoding); got != "415 " {
				t.Errorf("%s: %s", encoding, got)
			}
		}
		p.alive()
		if got := p.post("4a", "Content-Type", "application/octet-stream"); got != "400 " {
			t.Errorf("octet-stream: %s", got)
		}
		p.closed()
	})
}

func TestB16BadPayloads(t *testing.T) {
	row(t, options{}, func(t *testing.T, s *stack) {
		for _, body := range []string{
			"", "abc", "9", "\x1e\x1e\x1e", "b!!!", "\xff\xfe", "4\xff\xfe", "4", strings.Repeat("\x1e", 999_000),
		} {
			t.Run(fmt.Sprintf("%.10q", body), func(t *testing.T) {
				p := s.polling(t)
				p.t = t
				p.ok(body)
				p.closed()
			})
		}
	})
}

func TestB17ManyPackets(t *testing.T) {
	row(t, options{}, func(t *testing.T, s *stack) {
		p := s.polling(t)
		p.ok(repeat("6", 10_000, "\x1e"))
		p.alive()
		p.ok(repeat("6", 499_999, "\x1e"))
		p.closed()
	})
}

func TestB18EchoFlood(t *testing.T) {
	flood := repeat(`42["msg",1]`, 83_000, "\x1e")
	t.Run("packets", func(t *testing.T) {
		row(t, options{}, func(t *testing.T, s *stack) {
			p := s.polling(t)
			p.ok(flood)
			p.closed()
			if n := s.node.Stats().EventsIn; n > 11_000 {
				t.Errorf("%d events were taken", n)
			}
		})
	})
	// Without the bound on packets the client is not read beyond half of its queue,
	// and does not live longer than one that does not poll (HRD-24, HRD-48).
	t.Run("back-pressure", func(t *testing.T) {
		const queue = 256 << 10
		o := options{node: node.Config{
			PingInterval: 2 * time.Second, PingTimeout: 4 * time.Second, // for the canary on a busy machine
			Limits: node.Limits{Output: queue, PacketsPerPayload: 100_000},
		}}
		row(t, o, func(t *testing.T, s *stack) {
			p := s.polling(t)
			posted := make(chan string, 1)
			go func() { posted <- p.post(flood) }()
			most := int64(0)
			eventually(t, "the session ends", func() bool {
				st := s.node.Stats()
				most = max(most, st.QueuedBytes)
				return st.Sessions == 1
			})
			<-posted
			if most < queue/2 || most > queue {
				t.Errorf("%d bytes were queued", most)
			}
			if n := s.node.Stats().SlowConsumers; n != 0 {
				t.Error("it was closed as a slow consumer: no back-pressure")
			}
			p.closed()
		})
	})
}

func TestB19RefusedNamespaces(t *testing.T) {
	flood := new(bytes.Buffer)
	for i := range 99_000 {
		fmt.Fprintf(flood, "40/x%d,\x1e", i)
	}
	flood.Truncate(min(flood.Len(), 999_999))
	row(t, options{}, func(t *testing.T, s *stack) {
		p := s.polling(t)
		p.ok(strings.TrimSuffix(flood.String(), "\x1e"))
		got := p.get()
		if n := strings.Count(got, `44/x`); n != 101 || !strings.Contains(got, `44/x7,{"message":"Invalid namespace"}`) {
			t.Errorf("%d refusals: %.200s", n, got)
		}
		p.closed()
	})
}

func TestB20Resets(t *testing.T) {
	row(t, options{}, func(t *testing.T, s *stack) {
		var polls []io.Closer
		for range scaled(3000, 300) {
			p := s.polling(t)
			nc := s.dial(t)
			_, _ = io.WriteString(nc, request("GET", p.target()))
			polls = append(polls, closer(func() error { reset(nc); return nil }))
		}
		for _, c := range polls {
			_ = c.Close()
		}
		eventually(t, "all polls are freed", func() bool { return s.node.Stats().Sessions == 1 })
		for range 3 {
			var peers []*peer
			for range scaled(700, 100) {
				p := s.session(t)
				p.send("40")
				peers = append(peers, p)
			}
			for _, p := range peers {
				reset(p.nc)
			}
			eventually(t, "all WebSockets are freed", func() bool {
				st := s.node.Stats()
				return st.Sessions == 1 && st.Sockets == 1
			})
		}
	})
}

type closer func() error

func (c closer) Close() error { return c() }

func TestB21Upgrades(t *testing.T) {
	o := options{node: node.Config{UpgradeTimeout: short(2 * time.Second)}}
	row(t, o, func(t *testing.T, s *stack) {
		var half []*peer
		for range scaled(1000, 100) {
			half = append(half, s.upgrade(t, "&sid="+s.polling(t).sid))
		}
		for _, p := range half {
			p.closed(1005)
		}
		if n := s.node.Stats().Polling; n != int64(len(half)) {
			t.Errorf("%d sessions are left", n)
		}

		p := s.polling(t) // two at once
		first, second := s.upgrade(t, "&sid="+p.sid), (*peer)(nil)
		first.send("2probe")
		first.expect("3probe")
		second = s.upgrade(t, "&sid="+p.sid)
		second.closed(1005)
		first.send("5")
		first.alive()
		first.close()

		for _, packet := range []string{"5", "4hello", "2probX", "\x00", "1", "40", "2probe2probe", ""} {
			p := s.polling(t)
			ws := s.upgrade(t, "&sid="+p.sid)
			ws.send(packet)
			ws.closed(1005)
			p.alive()
			p.ok("1")
		}
	})
}
