package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"
)

// TestDrain: HRD-53, HRD-70. Who is there is served until its turn, new ones are
// refused, and all sockets of a client end together, with what it had sent before
// handled and what it is owed delivered.
func TestDrain(t *testing.T) {
	srv := newServer(t, Config{})
	e := follow(t, srv)
	admin := follow(t, srv.Of("/admin"))
	release, handled := make(chan struct{}), make(chan int, 10)
	On(srv, "slow", func(_ context.Context, _ *Socket, n int) error {
		<-release
		handled <- n
		return nil
	})
	withSync(srv)
	withSync(srv.Of("/admin"))
	p, _ := srv.join(t, "/")
	p.connect("/admin", "")
	p.sync("/admin") // it is in its room
	if err := srv.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	slow, cancel := context.WithCancel(t.Context())
	drained := make(chan error, 1)
	go func() { drained <- srv.Drain(slow, 1e-6) }()
	eventually(t, "not ready", func() bool { return errors.Is(srv.Ready(t.Context()), ErrDraining) })
	for _, transport := range []string{"polling", "websocket"} {
		// A moment after it is not ready any more.
		eventually(t, transport+" to be refused", func() bool { return srv.knock(t, transport) == http.StatusServiceUnavailable })
	}
	p.sync("/") // still served
	cancel()
	if err := recv(t, drained); !errors.Is(err, context.Canceled) {
		t.Errorf("drain that was given up: %v", err)
	}
	p.sync("/")

	p.send(`42["slow",1]`, `42["slow",2]`, `42/admin,["nothing"]`)
	eventually(t, "events wait", func() bool { return srv.Stats().EventsIn >= 6 })
	for n := range 100 {
		if err := srv.Emit(t.Context(), "n", n); err != nil {
			t.Fatal(err)
		}
	}
	go func() { drained <- srv.Drain(t.Context(), 0) }()
	for n := range 100 {
		p.expect(fmt.Sprintf(`42["n",%d]`, n))
	}
	if code := p.closed(); code != 1001 {
		t.Errorf("close code %d", code)
	}
	close(release)
	expect := func(e *ends) {
		t.Helper()
		if d := e.expect(ReasonServerShutdown); !errors.Is(d.Cause, ErrDraining) {
			t.Errorf("cause: %v", d.Cause)
		}
	}
	expect(admin)
	for n := 1; n <= 2; n++ {
		if got := recv(t, handled); got != n {
			t.Errorf("handled %d, want %d", got, n)
		}
	}
	expect(e)
	if err := recv(t, drained); err != nil {
		t.Error(err)
	}
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := srv.Drain(t.Context(), 1); err != nil {
		t.Errorf("after the end: %v", err)
	}
	if err := srv.Ready(t.Context()); !errors.Is(err, ErrServerClosed) {
		t.Errorf("ready: %v", err)
	}
}

// knock tries to open a session and returns the status.
func (ts *testServer) knock(t *testing.T, transport string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, ts.http.URL+"/socket.io/?EIO=4&transport="+transport, nil)
	if err != nil {
		t.Fatal(err)
	}
	if transport == "websocket" {
		for k, v := range map[string]string{
			"Connection": "Upgrade", "Upgrade": "websocket",
			"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
		} {
			req.Header.Set(k, v)
		}
	}
	client := http.Client{Timeout: patience}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	client.CloseIdleConnections()
	return res.StatusCode
}

// Many clients leave at the pace that was asked for.
func TestDrainPace(t *testing.T) {
	srv := newServer(t, Config{})
	const clients, perSecond = 50, 100
	var peers []*peer
	for range clients {
		p, _ := srv.join(t, "/")
		peers = append(peers, p)
	}
	start := time.Now()
	if err := srv.Drain(t.Context(), perSecond); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took < (clients-1)*time.Second/perSecond {
		t.Errorf("%d clients at %d/s were gone after %v", clients, perSecond, took)
	}
	for _, p := range peers {
		if code := p.closed(); code != 1001 {
			t.Errorf("close code %d", code)
		}
	}
}
