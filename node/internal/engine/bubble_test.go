package engine

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// pipes is a listener whose connections are pipes in memory, which work inside
// a bubble of synctest.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe.test" }

// dial returns the client's end of a new connection.
func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// inBubble runs f with a server whose clock is the bubble's: time passes when
// everybody waits. At the end nothing may be left of the server.
func inBubble(t *testing.T, cfg Config, onMessage func(r *recorder, data []byte, binary, inline bool), f func(t *testing.T, ts *testServer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if cfg.NewID == nil {
			cfg.NewID = testID
		}
		ts := &testServer{onMessage: onMessage, opened: make(chan *recorder, 1000)}
		srv, err := NewServer(cfg, ts)
		if err != nil {
			t.Fatal(err)
		}
		ts.Server = srv
		l := newPipes()
		ts.http = &httptest.Server{Listener: l, Config: &http.Server{Handler: markRelayed(srv)}}
		ts.http.Start()
		ts.client = &http.Client{Transport: &http.Transport{DialContext: l.dial, MaxIdleConnsPerHost: 100, DisableCompression: true}}
		ts.dialer = websocket.Dialer{NetDialContext: l.dial}
		t.Cleanup(func() { ts.stop(t) })
		f(t, ts)
	})
}

// answer is the response to a request in the background.
type answer struct {
	status int
	body   string
	at     time.Time
}

// start makes a request in the background and returns when the server waits.
func (ts *testServer) start(t *testing.T, method, query, body string) <-chan answer {
	t.Helper()
	c := make(chan answer, 1)
	go func() {
		status, body := ts.do(t, method, query, body)
		c <- answer{status, body, time.Now()}
	}()
	synctest.Wait()
	return c
}

// frames reads the WebSocket in the background; each message comes with its
// time.
type frame struct {
	text string
	at   time.Duration // since the call of frames
}

func frames(t *testing.T, c *websocket.Conn) <-chan frame {
	start := time.Now()
	_ = c.SetReadDeadline(time.Time{})
	ch := make(chan frame, 1000)
	go func() {
		defer close(ch)
		for {
			text := read(t, c)
			ch <- frame{text, time.Since(start)}
			if len(text) > 5 && (text[:6] == "close:" || text[:6] == "error:") {
				return
			}
		}
	}()
	return ch
}

// within tells whether got is want or later by no more than slack.
func within(t *testing.T, what string, got, want, slack time.Duration) {
	t.Helper()
	if got < want || got > want+slack {
		t.Errorf("%s after %v, want %v to %v", what, got, want, want+slack)
	}
}
