package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"runtime/pprof"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const upgradable = `0{"sid":"S","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":100}`

// openPolling starts a socket over polling and joins it.
func openPolling(t *testing.T, srv *script, o Options) (*Socket, *recorder, map[string][]*poll) {
	t.Helper()
	c, err := New(srv.URL, fast(o))
	if err != nil {
		t.Fatal(err)
	}
	srv.atEnd(c.Close)
	s := c.Of("/")
	rec := record(s)
	s.Open()
	aside := make(map[string][]*poll)
	post := srv.next("POST", aside)
	equal(t, post.body, "40")
	post.answer <- "ok"
	srv.next("GET", aside).answer <- `40{"sid":"id1"}`
	equal(t, recv(t, rec.connects), "id1")
	return s, rec, aside
}

func TestPolling(t *testing.T) {
	srv := newScript(t)
	s, rec, aside := openPolling(t, srv, Options{Transports: []string{Polling}, CloseTimeout: timeout})
	equal(t, s.Client().Transport(), Polling)
	equal(t, s.Client().SID(), "S")
	r := srv.request(-1)
	q := r.URL.Query()
	if q.Get("EIO") != "4" || q.Get("transport") != "polling" || q.Get("sid") != "S" || q.Get("t") == "" || r.Header.Get("Cookie") != "io=S" {
		t.Error(r.URL, r.Header)
	}
	srv.next("GET", aside).answer <- `42["a"]` + "\x1e2\x1e" + `451-["b",{"_placeholder":true,"num":0}]` + "\x1ebAQID\x1e6"
	rec.want(t, "a[]", `b[{"_placeholder":true,"num":0}]`)
	post := srv.next("POST", aside)
	equal(t, post.body, "3")

	// While a POST is under way everything waits, then leaves in bodies of at most
	// maxPayload (EIO-J-04).
	ctx := testContext(t)
	_ = s.Volatile().Emit(ctx, "dropped")
	_ = s.Emit(ctx, "bin", Binary{1, 2, 3}, Binary{})
	_ = s.Emit(ctx, "small")
	_ = s.Emit(ctx, strings.Repeat("x", 120))
	_ = s.Emit(ctx, "last")
	post.answer <- "ok"
	for _, want := range []string{
		`452-["bin",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]` + "\x1ebAQID\x1eb\x1e" + `42["small"]`,
		`42["` + strings.Repeat("x", 120) + `"]`,
		`42["last"]`,
	} {
		post = srv.next("POST", aside)
		equal(t, post.body, want)
		post.answer <- "ok"
	}

	done := make(chan struct{})
	go func() {
		s.Client().Close()
		close(done)
	}()
	srv.goodbye(aside)
	recv(t, done)
}

func TestPollingFailures(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer string
		reason string
	}{
		{"close packet", `42["a"]` + "\x1e1\x1e" + `42["lost"]`, ReasonTransportClose}, // EIO-J-05
		{"status", "400", ReasonTransportError},
		{"no answer", "abort", ReasonTransportError},  // not asked again: the answer may have been lost
		{"unknown packet", "9", ReasonTransportError}, // EIO-J-06
		{"too large", strings.Repeat("x", 1001), ReasonTransportError},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newScript(t)
			_, rec, aside := openPolling(t, srv, Options{Transports: []string{Polling}, MaxMessage: 1000})
			srv.next("GET", aside).answer <- test.answer
			equal(t, recv(t, rec.disconnects).Reason, test.reason)
			if test.name == "close packet" {
				rec.want(t, "a[]")
			}
			equal(t, len(rec.events), 0)
		})
	}
	t.Run("POST", func(t *testing.T) {
		srv := newScript(t)
		s, rec, aside := openPolling(t, srv, Options{Transports: []string{Polling}})
		_ = s.Emit(testContext(t), "e")
		srv.next("POST", aside).answer <- "413"
		d := recv(t, rec.disconnects)
		equal(t, d.Reason, ReasonTransportError) // SIO-X-25
		var e *TransportError
		if !errors.As(d.Err, &e) || e.Status != 413 || e.Message != "xhr post error" {
			t.Error(d.Err)
		}
	})
}

// From the answer to the probe on nothing is posted; the poll under way is
// waited for, then 5 is sent (EIO-J-02), then what was queued.
func TestUpgrade(t *testing.T) {
	srv := newScript(t)
	srv.hello = upgradable
	s, rec, aside := openPolling(t, srv, Options{})
	p := srv.open()
	p.want("2probe")
	ctx := testContext(t)
	_ = s.Emit(ctx, "polled")
	post := srv.next("POST", aside)
	equal(t, post.body, `42["polled"]`)
	get := srv.next("GET", aside) // under way before the answer: else there is none
	p.send("3probe")
	get.answer <- `42["during"]` + "\x1e6"
	rec.want(t, "during[]")
	defer answerPolls(t, srv)() // as a server does every 100 ms (EIO-U-05)
	waitPaused(t, s)
	_ = s.Emit(ctx, "later", Binary{1})
	_ = s.Volatile().Emit(ctx, "dropped")
	equal(t, s.Client().Transport(), Polling) // the POST is still under way
	post.answer <- "ok"
	p.want("5", `451-["later",{"_placeholder":true,"num":0}]`, "\x00\x01")
	p.send(`42["upgraded"]`)
	rec.want(t, "upgraded[]")
	equal(t, s.Client().Transport(), WebSocket)
	equal(t, len(srv.polls), 0)
	go s.Client().Close()
	p.want("41")
}

// answerPolls answers all further GETs with a noop until stop is called.
func answerPolls(t *testing.T, srv *script) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case poll := <-srv.polls:
				if poll.method != "GET" {
					t.Error(poll.method)
				}
				poll.answer <- "6"
			case <-quit:
				return
			}
		}
	}()
	return func() { close(quit); <-done }
}

// goodbye takes the end of a session: the DISCONNECT and the close packet (EIO-J-07), in
// one body or, when the first leaves before the second is there, in two.
func (s *script) goodbye(aside map[string][]*poll) {
	s.t.Helper()
	post := s.next("POST", aside)
	want := "41\x1e1"
	if post.body == "41" {
		post.answer <- "ok"
		post, want = s.next("POST", aside), "1"
	}
	equal(s.t, post.body, want)
	post.answer <- "ok"
}

// waitPaused waits until the answer to the probe has been taken. A POST under way
// hides that in Writable; the goroutine that asks ends then.
func waitPaused(t *testing.T, s *Socket) {
	t.Helper()
	eventually(t, "the end of the probe", func() bool {
		var stacks bytes.Buffer
		_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1)
		return !strings.Contains(stacks.String(), "client/internal/engine.(*Conn).probe+")
	})
	equal(t, s.client.current().Writable(), false)
}

// Whatever happens to the probe, the session goes on over polling (EIO-U-08 to
// EIO-U-10).
func TestUpgradeFails(t *testing.T) {
	for name, end := range map[string]func(p *peer){
		"closed":       func(p *peer) { p.Close() },
		"wrong answer": func(p *peer) { p.send("3probeX") },
		"no answer":    func(*peer) {},
	} {
		t.Run(name, func(t *testing.T) {
			srv := newScript(t)
			srv.hello = upgradable
			s, rec, aside := openPolling(t, srv, Options{ConnectTimeout: 2 * time.Second}) // in which it gets as far as the probe
			p := srv.open()
			p.want("2probe")
			end(p)
			if name != "closed" {
				_, _, err := p.ReadMessage()
				if err == nil {
					t.Error("not closed")
				}
			}
			_ = s.Emit(testContext(t), "e")
			post := srv.next("POST", aside)
			equal(t, post.body, `42["e"]`)
			post.answer <- "ok"
			srv.next("GET", aside).answer <- `42["f"]`
			rec.want(t, "f[]")
			equal(t, s.Client().Transport(), Polling)
		})
	}
}

func TestCloseDuringUpgrade(t *testing.T) {
	for _, answered := range []bool{false, true} {
		srv := newScript(t)
		srv.hello = upgradable
		s, _, aside := openPolling(t, srv, Options{CloseTimeout: timeout})
		p := srv.open()
		p.want("2probe")
		if answered {
			p.send("3probe")
			waitPaused(t, s)
		}
		done := make(chan struct{})
		go func() {
			s.Client().Close()
			close(done)
		}()
		srv.goodbye(aside)
		recv(t, done)
		if _, _, err := p.ReadMessage(); err == nil {
			t.Error("WebSocket left open")
		}
	}
}

func TestNoUpgrade(t *testing.T) {
	for _, o := range []Options{{NoUpgrade: true}, {Transports: []string{Polling}}} {
		o.CloseTimeout = time.Millisecond // nobody answers
		srv := newScript(t)
		srv.hello = upgradable
		s, _, _ := openPolling(t, srv, o)
		s.Client().Close()
		equal(t, len(srv.ws), 0)
	}
}

func TestTryAllTransports(t *testing.T) {
	srv := newScript(t)
	srv.deny = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Get("transport") == WebSocket {
			w.WriteHeader(http.StatusBadGateway)
			return true
		}
		return false
	}
	order := []string{WebSocket, Polling}
	if _, err := Dial(testContext(t), srv.URL, fast(Options{Transports: order})); err == nil {
		t.Error("no error")
	}
	s, _, _ := openPolling(t, srv, Options{Transports: order, TryAllTransports: true})
	equal(t, s.Client().Transport(), Polling)
}

func TestNoCookies(t *testing.T) {
	srv := newScript(t)
	openPolling(t, srv, Options{Transports: []string{Polling}, NoCookies: true})
	if c := srv.request(-1).Header.Get("Cookie"); c != "" {
		t.Error(c)
	}
}

func TestRoundTripper(t *testing.T) {
	srv := newScript(t)
	var used atomic.Int32
	rt := roundTripper(func(r *http.Request) (*http.Response, error) {
		used.Add(1)
		return http.DefaultTransport.RoundTrip(r)
	})
	s, _, _ := openPolling(t, srv, Options{Transports: []string{Polling}, RoundTripper: rt})
	srv.seeOff()
	s.Client().Close()
	if n := used.Load(); n < 3 {
		t.Errorf("used %d times", n)
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestTLS(t *testing.T) {
	srv := newScript(t)
	secure := httptest.NewUnstartedServer(http.HandlerFunc(srv.serve))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	tlsConfig := secure.Client().Transport.(*http.Transport).TLSClientConfig
	srv.URL = secure.URL
	s, rec, p := dialScript(t, srv, Options{TLS: tlsConfig})
	for range 100 {
		_ = s.Emit(testContext(t), "e", strings.Repeat("x", 1000))
	}
	for range 100 {
		if got := p.read(); len(got) < 1000 {
			t.Fatal(got)
		}
	}
	p.send(`42["f"]`)
	rec.want(t, "f[]")
	srv.seeOff()
	s.Close()
	if _, err := Dial(testContext(t), secure.URL, fast(Options{})); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Error(err)
	}
}

// A flood of events arrives in order and bounded by SendQueue.
func TestFlood(t *testing.T) {
	srv := newScript(t)
	s, _, p := dialScript(t, srv, Options{SendQueue: 10_000})
	const n = 20_000
	go func() {
		for i := range n {
			if err := s.Emit(context.Background(), "e", i); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for i := range n {
		var got int
		event := p.read()
		if !strings.HasPrefix(event, `42["e",`) {
			t.Fatal(event)
		}
		for _, c := range event[len(`42["e",`) : len(event)-1] {
			got = got*10 + int(c-'0')
		}
		if got != i {
			t.Fatalf("got %d, want %d", got, i)
		}
	}
}

// Emit waits for room as long as its context lasts.
func TestEmitWaits(t *testing.T) {
	srv := newScript(t)
	s, _, p := dialScript(t, srv, Options{SendQueue: 1000})
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	big := strings.Repeat("x", 1<<20)
	var err error
	for err == nil {
		err = s.Emit(ctx, "e", big)
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	p.Close()
	srv.seeOff()
	s.Close()
}
