package listener

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// patience bounds what must not happen; no test waits for it when all is well.
const patience = time.Minute

func newServer(t *testing.T, cfg Config) *Server {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = quiet()
	}
	if cfg.Handler == nil {
		cfg.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(w, r.Body)
		})
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func startServer(t *testing.T, cfg Config) *Server {
	t.Helper()
	s := newServer(t, cfg)
	if err := s.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shutdown(t, s) })
	return s
}

func shutdown(t *testing.T, s *Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

func dial(t *testing.T, s *Server) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", s.Addr().String(), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// answer reads one response with its body.
func answer(t *testing.T, c net.Conn) (*http.Response, string) {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

// ended waits for the server's end of a connection.
func ended(t *testing.T, c net.Conn) {
	t.Helper()
	var timeout net.Error
	if _, err := io.Copy(io.Discard, c); errors.As(err, &timeout) && timeout.Timeout() {
		t.Error("the connection was not closed")
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if ok() {
			return
		}
		<-time.After(time.Millisecond)
	}
	t.Fatalf("%s: not within %v", what, patience)
}

// The defaults are those of HRD-10.
func TestDefaults(t *testing.T) {
	s := newServer(t, Config{})
	defer s.cancel()
	switch h := s.http; {
	case h.ReadHeaderTimeout != 10*time.Second:
		t.Error("ReadHeaderTimeout", h.ReadHeaderTimeout)
	case h.IdleTimeout != 75*time.Second:
		t.Error("IdleTimeout", h.IdleTimeout)
	case s.cfg.WriteTimeout != 10*time.Second:
		t.Error("WriteTimeout", s.cfg.WriteTimeout)
	case h.MaxHeaderBytes != 16<<10:
		t.Error("MaxHeaderBytes", h.MaxHeaderBytes)
	case s.cfg.MaxHeaderLines != 100:
		t.Error("MaxHeaderLines", s.cfg.MaxHeaderLines)
	case s.cfg.BodyTimeout != 15*time.Second:
		t.Error("BodyTimeout", s.cfg.BodyTimeout)
	case s.slots.Limit() != DefaultMaxConns():
		t.Error("Slots", s.slots.Limit())
	}
}

func TestConfigReportsEveryProblem(t *testing.T) {
	_, err := New(Config{IdleTimeout: -1, MaxConns: -1})
	for _, want := range []string{"Handler", "IdleTimeout", "MaxConns"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %s", err, want)
		}
	}
}

func TestAddressInUse(t *testing.T) {
	s := startServer(t, Config{})
	other := newServer(t, Config{})
	if err := other.Start(s.Addr().String()); err == nil {
		t.Error("two servers on one address")
	}
	shutdown(t, other)
}

func TestURL(t *testing.T) {
	s := newServer(t, Config{})
	if s.URL() != "" || s.Addr() != nil {
		t.Error("an address before Start")
	}
	if err := s.Start(":0"); err != nil {
		t.Fatal(err)
	}
	defer shutdown(t, s)
	if !strings.HasPrefix(s.URL(), "http://localhost:") {
		t.Error(s.URL())
	}
}

// HRD-10, B11: connections that send half a header, or one byte now and then, are
// closed, and others are served meanwhile.
func TestSlowHeaders(t *testing.T) {
	s := startServer(t, Config{ReadHeaderTimeout: 2 * time.Second}) // in which a whole header can be read
	var slow []net.Conn
	for range 200 {
		c := dial(t, s)
		send(t, c, "G")
		slow = append(slow, c)
	}
	drip := dial(t, s)
	send(t, drip, "GET / HTTP/1.1\r\nHost: x\r\nX-A: ")
	go func() {
		for {
			if _, err := io.WriteString(drip, "a"); err != nil {
				return
			}
			<-time.After(20 * time.Millisecond)
		}
	}()
	c := dial(t, s)
	send(t, c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if res, _ := answer(t, c); res.StatusCode != http.StatusOK {
		t.Error(res.Status)
	}
	for _, c := range append(slow, drip) {
		ended(t, c)
	}
	eventually(t, "no connection left", func() bool { return s.Stats().Open == 0 })
}

func TestIdleTimeout(t *testing.T) {
	s := startServer(t, Config{IdleTimeout: 50 * time.Millisecond})
	c := dial(t, s)
	send(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	answer(t, c)
	ended(t, c)
}

// HRD-10, B06.
func TestHeaderSize(t *testing.T) {
	s := startServer(t, Config{})
	tests := []struct {
		name, header string
		want         int
	}{
		{"100 lines", strings.Repeat("A: b\r\n", 98), 200},
		{"101 lines", strings.Repeat("A: b\r\n", 99), 431},
		{"2,000 lines", strings.Repeat("A: b\r\n", 2000), 431},
		{"2,000 names", numbered(2000), 431},
		{"15 KiB", "A: " + strings.Repeat("b", 15<<10) + "\r\n", 200},
		{"128 KB", "A: " + strings.Repeat("b", 128_000) + "\r\n", 431},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := dial(t, s)
			// The server may answer, and close, before all was sent.
			go io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"+tt.header+"\r\n")
			res, _ := answer(t, c)
			if res.StatusCode != tt.want {
				t.Errorf("status %d, want %d", res.StatusCode, tt.want)
			}
			if res.StatusCode != 200 && !res.Close {
				t.Error("the connection stays open")
			}
		})
	}
}

func numbered(n int) string {
	var b bytes.Buffer
	for i := range n {
		b.WriteString("A")
		for j := i; j > 0; j /= 10 {
			b.WriteByte(byte('0' + j%10))
		}
		b.WriteString(":\r\n")
	}
	return b.String()
}

// HRD-10, B11: a body that does not arrive ends its connection, whether the
// handler reads it or not.
func TestSlowBody(t *testing.T) {
	var got atomic.Value
	s := startServer(t, Config{
		BodyTimeout: 100 * time.Millisecond,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/read" {
				_, err := io.ReadAll(r.Body)
				got.Store(err)
			}
			w.WriteHeader(http.StatusNotFound)
		}),
	})
	for _, path := range []string{"/read", "/unread"} {
		c := dial(t, s)
		send(t, c, "POST "+path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\na")
		ended(t, c)
	}
	if err, _ := got.Load().(error); err == nil {
		t.Error("the handler read half a body without an error")
	}
}

// deadlines is a response writer that records read deadlines.
type deadlines struct {
	http.ResponseWriter
	set []time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.set = append(d.set, t)
	return nil
}

// A body that moves may take longer than BodyTimeout, and its deadline does not
// outlive it.
func TestBodyDeadlineMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, Config{})
		defer s.cancel()
		d, start := new(deadlines), time.Now()
		body := s.limitBody(d, io.NopCloser(strings.NewReader(strings.Repeat("a", 40<<10))))
		for range 40 {
			time.Sleep(time.Second) // of the bubble's clock
			if _, err := io.CopyN(io.Discard, body, 1<<10); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := body.Read(make([]byte, 1)); err != io.EOF {
			t.Fatal(err)
		}
		want := []time.Time{start.Add(15 * time.Second), start.Add(16 * time.Second), start.Add(17 * time.Second), {}}
		if !slices.EqualFunc(d.set, want, time.Time.Equal) {
			t.Errorf("deadlines %v, want %v", d.set, want)
		}
	})
}

// A client that does not read its answer loses its connection, however the
// handler writes; one that reads gets all of it.
func TestStoppedReader(t *testing.T) {
	const size = 16 << 20
	for name, write := range map[string]func(http.ResponseWriter) error{
		"write": func(w http.ResponseWriter) error {
			_, err := w.Write(make([]byte, size))
			return err
		},
		"copy": func(w http.ResponseWriter) error { // by ReadFrom
			_, err := io.Copy(w, io.LimitReader(zeros{}, size))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			result := make(chan error, 1)
			h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { result <- write(w) })

			impatient := startServer(t, Config{Handler: h, WriteTimeout: 50 * time.Millisecond})
			c := dial(t, impatient)
			send(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			if err := <-result; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("stopped reader: %v", err)
			}
			ended(t, c)

			c = dial(t, startServer(t, Config{Handler: h}))
			send(t, c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			if _, body := answer(t, c); len(body) != size {
				t.Errorf("a reader got %d bytes", len(body))
			}
			if err := <-result; err != nil {
				t.Error(err)
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// HRD-01: a panic costs its connection and is reported once.
func TestPanic(t *testing.T) {
	var logged bytes.Buffer
	s := startServer(t, Config{
		Logger: slog.New(slog.NewTextHandler(&logged, nil)),
		Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/abort" {
				panic(http.ErrAbortHandler)
			}
			panic("boom")
		}),
	})
	for _, path := range []string{"/boom", "/abort"} {
		c := dial(t, s)
		send(t, c, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")
		ended(t, c)
	}
	eventually(t, "connections closed", func() bool { return s.Stats().Open == 0 })
	if n := s.Stats().Panics; n != 1 {
		t.Errorf("%d panics counted", n)
	}
	if out := logged.String(); strings.Count(out, "boom") != 2 || !strings.Contains(out, "listener_test.go") {
		t.Errorf("logged %q", out) // the path and the value
	}
}

func TestShutdownWaitsForRequests(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	s := newServer(t, Config{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		_, _ = io.WriteString(w, "done")
	})})
	if err := s.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	c := dial(t, s)
	send(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		shutdown(t, s)
	}()
	eventually(t, "listener closed", func() bool {
		c, err := net.Dial("tcp", s.Addr().String())
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	close(release)
	if _, body := answer(t, c); body != "done" {
		t.Errorf("answer %q", body)
	}
	<-stopped
}

// Browsers open connections in advance; a stop does not wait for them.
func TestShutdownClosesFreshConnections(t *testing.T) {
	s := newServer(t, Config{})
	if err := s.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	c := dial(t, s)
	eventually(t, "accepted", func() bool { return s.Stats().Open == 1 })
	start := time.Now()
	shutdown(t, s)
	ended(t, c)
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("stopped after %v", took)
	}
}

func hijack(t *testing.T, held chan<- net.Conn) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		held <- c
		<-r.Context().Done()
		_ = c.Close()
	})
}

// The context of a hijacked request ends with the server, so that a proxy's
// tunnels do.
func TestShutdownEndsHijacked(t *testing.T) {
	held := make(chan net.Conn, 1)
	s := newServer(t, Config{Handler: hijack(t, held)})
	if err := s.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	c := dial(t, s)
	send(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-held
	if n := s.Stats().Open; n != 1 {
		t.Errorf("%d connections open, want the hijacked one", n)
	}
	shutdown(t, s)
	ended(t, c)
}

func TestShutdownGivesUp(t *testing.T) {
	held := make(chan net.Conn, 1)
	s := newServer(t, Config{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
		}
		held <- c
	})})
	if err := s.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	send(t, dial(t, s), "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	c := <-held
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	err := s.Shutdown(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 connections open") {
		t.Error(err)
	}
}

// A hijacked connection offers the descriptor, and is read without the guard.
func TestHijackedConnection(t *testing.T) {
	held := make(chan net.Conn, 1)
	s := startServer(t, Config{Handler: hijack(t, held)})
	c := dial(t, s)
	send(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	nc := (<-held).(*conn)
	if _, err := nc.SyscallConn(); err != nil {
		t.Error(err)
	}
	const text = "A /\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"
	send(t, c, text)
	buf := make([]byte, len(text))
	if _, err := io.ReadFull(nc, buf); err != nil || string(buf) != text {
		t.Errorf("read %q, %v", buf, err)
	}
}
