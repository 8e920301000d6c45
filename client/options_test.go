package client

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Options that the requests show.
func TestRequestOptions(t *testing.T) {
	srv := newScript(t)
	_, _, p := dialScript(t, srv, Options{
		Path: "/p/", NoTrailingSlash: true, TimestampParam: "stamp", TimestampWebSocket: true, ForceBase64: true,
		Protocols: []string{"one", "two"},
		PerTransport: map[string]TransportOptions{
			WebSocket: {Header: http.Header{"x-only": {"ws"}}, Query: url.Values{"k": {"ws"}}},
			Polling:   {Header: http.Header{"x-only": {"polling"}}},
		},
	}, func(s *Socket) {
		_ = s.Emit(testContext(t), "bin", []byte{1, 2})
	})
	r := srv.request(0)
	q := r.URL.Query()
	if r.URL.Path != "/p" || q.Get("stamp") == "" || q.Has("t") || q.Get("b64") != "1" || q.Get("k") != "ws" ||
		r.Header.Get("X-Only") != "ws" || r.Header.Get("Sec-Websocket-Protocol") != "one, two" {
		t.Error(r.URL, r.Header)
	}
	p.want(`451-["bin",{"_placeholder":true,"num":0}]`, "bAQI=")
	for _, o := range []Options{
		{Retries: -1},
		{PerTransport: map[string]TransportOptions{"x": {}}},
	} {
		if _, err := New(srv.URL, o); err == nil {
			t.Errorf("%+v", o)
		}
	}
}

// countingConn counts what is written.
type countingConn struct {
	net.Conn
	written *atomic.Int64
}

func (c countingConn) Write(p []byte) (int, error) {
	c.written.Add(int64(len(p)))
	return c.Conn.Write(p)
}

// Only what is large enough and not marked is compressed.
func TestCompress(t *testing.T) {
	srv := newScript(t)
	srv.deflate = true
	var written atomic.Int64
	s, _, p := dialScript(t, srv, Options{
		PerMessageDeflate: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			return countingConn{conn, &written}, err
		},
	})
	for _, test := range []struct {
		emitter    Emitter
		size       int
		compressed bool
	}{
		{Emitter{socket: s}, 5000, true},
		{Emitter{socket: s}, 900, false},
		{s.Compress(false), 5000, false},
		{s.Compress(false).Compress(true), 5000, true},
	} {
		before := written.Load()
		if err := test.emitter.Emit(testContext(t), "e", strings.Repeat("x", test.size)); err != nil {
			t.Fatal(err)
		}
		p.read()
		if n := int(written.Load() - before); (n < test.size/2) != test.compressed {
			t.Errorf("%d bytes on the wire for %d", n, test.size)
		}
	}
}

// A session that used WebSocket is followed by one that begins with it, until that
// fails.
func TestRememberUpgrade(t *testing.T) {
	srv := newScript(t)
	srv.hello = `0{"sid":"S","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":100}`
	var refuse atomic.Bool
	srv.deny = func(w http.ResponseWriter, r *http.Request) bool {
		if refuse.Load() && r.URL.Query().Get("transport") == WebSocket {
			w.WriteHeader(http.StatusForbidden)
			return true
		}
		return false
	}
	c, err := New(srv.URL, fast(Options{RememberUpgrade: true}))
	if err != nil {
		t.Fatal(err)
	}
	srv.atEnd(c.Close)
	upgraded := make(chan string, 10)
	failed := make(chan error, 10)
	c.OnUpgrade(func(transport string) { upgraded <- transport })
	c.OnUpgradeError(func(err error) { failed <- err })
	s := c.Of("/")
	rec := record(s)
	s.Open()
	aside := make(map[string][]*poll)
	srv.next("POST", aside).answer <- "ok"
	p := srv.open()
	p.want("2probe")
	p.send("3probe")
	srv.next("GET", aside).answer <- `40{"sid":"id0"}` + "\x1e6"
	for done := false; !done; { // a poll may have begun before the answer to the probe was read
		select {
		case g := <-srv.polls:
			g.answer <- "6"
		case transport := <-upgraded:
			equal(t, transport, WebSocket)
			done = true
		}
	}
	p.want("5")
	recv(t, rec.connects)
	p.Close()
	p = srv.accept() // without a poll before
	recv(t, rec.connects)
	equal(t, srv.request(-1).URL.Query().Get("sid"), "")
	refuse.Store(true)
	c.Drop()
	p.read() // the end
	var refused *TransportError
	if err := recv(t, rec.failures); !errors.As(err, &refused) || refused.Status != http.StatusForbidden {
		t.Error(err)
	}
	srv.next("POST", aside).answer <- "ok" // on polling again
	srv.next("GET", aside).answer <- `40{"sid":"id2"}`
	recv(t, rec.connects)
	if err := recv(t, failed); !errors.As(err, &refused) {
		t.Error(err)
	}
}

func TestRequestTimeout(t *testing.T) {
	srv := newScript(t)
	c, err := New(srv.URL, fast(Options{
		Transports: []string{Polling}, RequestTimeout: 20 * time.Millisecond, Reconnect: ReconnectOptions{Disabled: true},
	}))
	if err != nil {
		t.Fatal(err)
	}
	srv.atEnd(c.Close)
	rec := record(c.Of("/"))
	c.Of("/").Open() // nothing is answered but the handshake
	if err := recv(t, rec.failures); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}
