package node

import (
	"log/slog"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/fanwire/fanwire/node/internal/engine"
)

// fakeSession is a session without an engine: the test plays the client.
type fakeSession struct {
	proto int
	c     *client // set by open

	mu      sync.Mutex
	packets int  // sent by Send
	texts   int  // sent by SendText
	busy    bool // volatile packets are refused
	alarm   time.Duration
	closed  *engine.Close
	held    int
}

func (f *fakeSession) ID() string         { return "sid-of-the-fake-session-000.node" }
func (f *fakeSession) Protocol() int      { return f.proto }
func (f *fakeSession) Transport() string  { return "websocket" }
func (f *fakeSession) RemoteAddr() string { return "192.0.2.1:1234" }
func (f *fakeSession) Secure() bool       { return false }
func (f *fakeSession) BeginInline() bool  { return true }
func (f *fakeSession) EndInline() bool    { return true }
func (f *fakeSession) Detach()            {}
func (f *fakeSession) Admit()             {}

func (f *fakeSession) AwaitRoom() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closed == nil
}

func (f *fakeSession) Answered() (ago time.Duration, ok bool) { return 0, true }

func (f *fakeSession) Queued() int { return 0 }

func (f *fakeSession) Hold()   { f.mu.Lock(); f.held++; f.mu.Unlock() }
func (f *fakeSession) Unhold() { f.mu.Lock(); f.held--; f.mu.Unlock() }

func (f *fakeSession) Send(_ *engine.Packet, volatile bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed != nil || volatile && f.busy {
		return false
	}
	f.packets++
	return true
}

func (f *fakeSession) SendText([]byte) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed != nil {
		return false
	}
	f.texts++
	return true
}

func (f *fakeSession) SetAlarm(d time.Duration) {
	f.mu.Lock()
	f.alarm = d
	f.mu.Unlock()
}

func (f *fakeSession) Close(c engine.Close) bool {
	f.mu.Lock()
	first := f.closed == nil
	if first {
		f.closed = &c
	}
	f.mu.Unlock()
	if first {
		go f.c.Closed(c.Reason, c.Cause)
	}
	return first
}

// newPlainServer makes a server that is not served.
func newPlainServer(t testing.TB, cfg Config) *Server {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	srv, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Shutdown(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	return srv
}

// open begins a fake session.
func (srv *Server) open() *fakeSession {
	r := httptest.NewRequest("GET", "/socket.io/?EIO=4&transport=websocket", nil)
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36")
	r.Header.Set("Origin", "http://example.com")
	f := &fakeSession{proto: 4}
	f.c = newClient(srv, f, newHandshake(false, f.RemoteAddr(), r))
	return f
}

// receive plays a message of the client.
func (f *fakeSession) receive(text string) { f.c.Message([]byte(text), false, true) }

// end plays the end of the connection.
func (f *fakeSession) end(reason string) {
	f.mu.Lock()
	first := f.closed == nil
	f.closed = &engine.Close{Reason: reason}
	f.mu.Unlock()
	if first {
		f.c.Closed(reason, nil)
	}
}
