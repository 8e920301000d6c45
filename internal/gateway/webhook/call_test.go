package webhook

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanwire/fanwire/internal/gateway/config"
)

func connectedRequest() Request {
	r := eventRequest()
	r.Type = Connected
	return r
}

// Which statuses are tried again, for which types, and what they say of the backend.
func TestStatuses(t *testing.T) {
	for _, test := range []struct {
		code    int
		again   bool // for requests that may be
		refused bool
		outcome Outcome
	}{
		{199, false, false, Failed},
		{301, false, false, Failed},
		{307, false, false, Failed},
		{400, false, true, Refused},
		{401, false, true, Refused},
		{404, false, true, Refused},
		{408, true, false, Failed},
		{410, false, true, Refused},
		{429, true, false, Failed},
		{499, false, true, Refused},
		{500, true, false, Failed},
		{502, true, false, Failed},
		{503, true, false, Failed},
		{599, true, false, Failed},
	} {
		if test.code < 200 {
			continue // net/http takes these for interim answers
		}
		for _, r := range []Request{connectRequest(), connectedRequest(), eventRequest(), {Type: Disconnected}} {
			for _, retryEvents := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					b, h, end := inBubble(t, status(test.code, `{"actions":1}`), func(c *config.Webhook) { c.RetryEvents = retryEvents })
					defer end()
					_, err := h.Call(context.Background(), r)
					var s *StatusError
					if !errors.As(err, &s) || s.Code != test.code || s.Refused() != test.refused {
						t.Errorf("%d %s: %v", test.code, r.Type, err)
					}
					want := 1
					if test.again && (r.Type != Event || retryEvents) {
						want = 3
					}
					if n := len(b.requests()); n != want {
						t.Errorf("%d %s, retry_events %v: %d tries, want %d", test.code, r.Type, retryEvents, n, want)
					}
					if n := h.Stats().Calls[r.Type][test.outcome]; n != 1 {
						t.Errorf("%d %s: %v", test.code, r.Type, h.Stats().Calls)
					}
				})
			}
		}
	}
}

// A try that comes again has the same id and body, and a signature of its own time.
func TestTriesAreTheSameRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, h, end := inBubble(t, inTurn(status(503, ""), status(500, ""), says(`{"rooms":["a"]}`)), nil)
		defer end()
		var resp Response
		var err error
		d := took(func() { resp, err = h.Call(context.Background(), connectRequest()) })
		if err != nil || len(resp.Rooms) != 1 {
			t.Fatal(resp, err)
		}
		if d < 150*time.Millisecond || d > 450*time.Millisecond { // 50 to 150 ms, then 100 to 300
			t.Errorf("paused for %v", d)
		}
		got := b.requests()
		for _, r := range got[1:] {
			if string(r.body) != string(got[0].body) || r.header.Get("webhook-id") != got[0].header.Get("webhook-id") {
				t.Errorf("another request: %s", r.body)
			}
		}
		if s := h.Stats(); s.Retries != 2 || s.Latency.Count != 3 || s.Call.Count != 1 || s.Calls[Connect][OK] != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	answer := func(header string) http.HandlerFunc {
		return inTurn(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", header)
			status(429, "")(w, r)
		}, says(`{}`))
	}
	for header, want := range map[string]time.Duration{"3": 3 * time.Second, "0": 0, "soon": 0, "-5": 0, "99999999999999999999": 0} {
		synctest.Test(t, func(t *testing.T) {
			_, h, end := inBubble(t, answer(header), nil)
			defer end()
			var err error
			d := took(func() { _, err = h.Call(context.Background(), connectedRequest()) })
			if err != nil || d < want || d > want+200*time.Millisecond {
				t.Errorf("%s: after %v: %v", header, d, err)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) { // a date, to the second
		_, h, end := inBubble(t, answer(time.Now().Add(2*time.Second).UTC().Format(http.TimeFormat)), nil)
		defer end()
		if d := took(func() { _, _ = h.Call(context.Background(), connectedRequest()) }); d < time.Second || d > 2500*time.Millisecond {
			t.Errorf("after %v", d)
		}
	})
	synctest.Test(t, func(t *testing.T) { // longer than there is time: no use to wait
		b, h, end := inBubble(t, answer("60"), nil)
		defer end()
		var err error
		d := took(func() { _, err = h.Call(context.Background(), connectedRequest()) })
		var s *StatusError
		if !errors.As(err, &s) || s.RetryAfter != time.Minute || d != 0 || len(b.requests()) != 1 {
			t.Errorf("after %v: %v", d, err)
		}
	})
}

// hangs answers when the request is given up.
func hangs(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func TestDeadline(t *testing.T) {
	half := func(w http.ResponseWriter, r *http.Request) { // headers, and a part of the body
		w.Header().Set("Content-Length", "100")
		says(`{"ack":`)(w, r)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
	for name, answer := range map[string]http.HandlerFunc{"silence": hangs, "half an answer": half, "a failure, then silence": inTurn(status(500, ""), hangs)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, h, end := inBubble(t, answer, func(c *config.Webhook) { c.Timeout = 3 * time.Second })
				defer end()
				var err error
				d := took(func() { _, err = h.Call(context.Background(), connectRequest()) })
				if !errors.Is(err, ErrTimeout) || d != 3*time.Second {
					t.Errorf("after %v: %v", d, err)
				}
				if s := h.Stats(); s.Calls[Connect][TimedOut] != 1 || s.InFlight != 0 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// The end of the caller's context ends the call, and says nothing of the backend.
func TestCallerGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, h, end := inBubble(t, hangs, func(c *config.Webhook) { c.CircuitFailures = 1 })
		defer end()
		gone := errors.New("the client has gone")
		ctx, cancel := context.WithCancelCause(context.Background())
		time.AfterFunc(time.Second, func() { cancel(gone) })
		var err error
		d := took(func() { _, err = h.Call(ctx, eventRequest()) })
		if !errors.Is(err, gone) || d != time.Second {
			t.Errorf("after %v: %v", d, err)
		}
		short, cancelShort := context.WithTimeout(context.Background(), time.Second)
		defer cancelShort()
		if _, err := h.Call(short, eventRequest()); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrTimeout) {
			t.Error(err)
		}
		if _, err := h.Call(ctx, eventRequest()); !errors.Is(err, gone) {
			t.Error(err)
		}
		if s := h.Stats(); s.Circuit != Closed || s.InFlight != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// So many at a time, so many that wait, the others are refused at once; those that
// wait give up at their own deadline.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		_, h, end := inBubble(t, func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-free:
				says(`{}`)(w, r)
			case <-r.Context().Done():
			}
		}, func(c *config.Webhook) { c.MaxConcurrent, c.MaxWaiting, c.Timeout = 2, 3, 4*time.Second })
		defer end()
		errs := make(chan error, 10)
		call := func() {
			_, err := h.Call(context.Background(), eventRequest())
			errs <- err
		}
		for range 5 {
			go call()
		}
		synctest.Wait()
		if s := h.Stats(); s.InFlight != 2 || s.Waiting != 3 {
			t.Errorf("%+v", s)
		}
		d := took(call)
		if err := <-errs; !errors.Is(err, ErrBusy) || d != 0 {
			t.Errorf("after %v: %v", d, err)
		}
		time.Sleep(time.Second)
		free <- struct{}{}
		if err := <-errs; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if s := h.Stats(); s.InFlight != 2 || s.Waiting != 2 { // the first that waited has its turn
			t.Errorf("%+v", s)
		}
		d = took(func() {
			for range 4 {
				if err := <-errs; !errors.Is(err, ErrTimeout) {
					t.Error(err)
				}
			}
		})
		if s := h.Stats(); d != 3*time.Second || s.InFlight != 0 || s.Waiting != 0 || s.Calls[Event][IsBusy] != 1 || s.Calls[Event][TimedOut] != 4 {
			t.Errorf("after %v: %+v", d, s)
		}
	})
}

// A hook that hangs does not hold another one.
func TestHooksAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, slow, endSlow := inBubble(t, hangs, func(c *config.Webhook) { c.MaxConcurrent = 1 })
		defer endSlow()
		_, fast, endFast := inBubble(t, says(`{}`), nil)
		defer endFast()
		done := make(chan struct{}, 10)
		for range cap(done) {
			go func() {
				_, _ = slow.Call(context.Background(), eventRequest())
				done <- struct{}{}
			}()
		}
		synctest.Wait()
		d := took(func() {
			for range 100 {
				if _, err := fast.Call(context.Background(), eventRequest()); err != nil {
					t.Error(err)
				}
			}
		})
		if d != 0 {
			t.Errorf("took %v", d)
		}
		for range cap(done) {
			<-done
		}
	})
}

// aborts closes the connection without an answer.
func aborts(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// An event that may have arrived is not sent twice; one that has not been sent is.
func TestBrokenConnections(t *testing.T) {
	half := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, `{"ack":`)
		panic(http.ErrAbortHandler)
	}
	garbage := func(w http.ResponseWriter, _ *http.Request) {
		c, _, _ := w.(http.Hijacker).Hijack()
		_, _ = io.WriteString(c, "\x15\x03\x01\x00\x02\x02")
		_ = c.Close()
	}
	headers := func(w http.ResponseWriter, _ *http.Request) { // without end
		c, _, _ := w.(http.Hijacker).Hijack()
		defer c.Close()
		for text := "HTTP/1.1 200 OK\r\n"; ; text = "X-Pad: " + strings.Repeat("x", 1000) + "\r\n" {
			if _, err := io.WriteString(c, text); err != nil {
				return
			}
		}
	}
	interim := func(w http.ResponseWriter, _ *http.Request) { // 1xx without end
		c, _, _ := w.(http.Hijacker).Hijack()
		defer c.Close()
		for {
			if _, err := io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"); err != nil {
				return
			}
		}
	}
	for name, answer := range map[string]http.HandlerFunc{
		"aborted": aborts, "half an answer": half, "not HTTP": garbage, "headers": headers, "interim answers": interim,
	} {
		for _, test := range []struct {
			r           Request
			retryEvents bool
			want        int
		}{{connectedRequest(), false, 3}, {eventRequest(), false, 1}, {eventRequest(), true, 3}} {
			synctest.Test(t, func(t *testing.T) {
				b, h, end := inBubble(t, answer, func(c *config.Webhook) { c.RetryEvents = test.retryEvents })
				defer end()
				_, err := h.Call(context.Background(), test.r)
				if err == nil || len(b.requests()) != test.want {
					t.Errorf("%s, %s, retry_events %v: %d tries, want %d: %v", name, test.r.Type, test.retryEvents, len(b.requests()), test.want, err)
				}
				if s := h.Stats(); s.Calls[test.r.Type][Failed] != 1 {
					t.Errorf("%+v", s)
				}
			})
		}
	}
}

func TestUnreachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, h, end := inBubble(t, says(`{}`), nil)
		defer end()
		var dials atomic.Int64
		dial := h.transport.DialContext
		h.transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			if dials.Add(1) <= 2 {
				return nil, errors.New("connection refused")
			}
			return dial(ctx, network, address)
		}
		if _, err := h.Call(context.Background(), eventRequest()); err != nil || dials.Load() != 3 || len(b.requests()) != 1 {
			t.Errorf("%d dials: %v", dials.Load(), err)
		}
	})
}

// What an error says is for logs: it does not show what is in the URL, the secret or
// a body.
func TestErrorsHide(t *testing.T) {
	answers := []http.HandlerFunc{
		status(500, "hunter2"), status(302, "hunter2"), status(400, "hunter2"), says("hunter2"), aborts,
		says(`{"user":"hunter2","refuse":"hunter2"}`), says(`{"data":hunter2}`), says(`{"expires":"hunter2"}`),
	}
	for i, answer := range answers {
		b := newBackend(t, answer)
		h := b.hook(t, func(c *config.Webhook) {
			c.URL += "?key=hunter2"
			c.Secret = config.NewSecret("hunter2-hunter2-hunter2-hunter2")
			c.Retries = 0
		})
		r := connectRequest()
		r.User = "hunter2"
		if _, err := h.Call(context.Background(), r); err == nil || strings.Contains(err.Error(), "hunter2") || !strings.HasPrefix(err.Error(), "webhook test: ") {
			t.Errorf("%d: %v", i, err)
		}
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	other := newBackend(t, says(`{}`))
	for _, code := range []int{301, 302, 303, 307, 308} {
		b := newBackend(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, code) })
		var s *StatusError
		if _, err := b.hook(t, nil).Call(context.Background(), connectRequest()); !errors.As(err, &s) || s.Code != code {
			t.Errorf("%d: %v", code, err)
		}
	}
	if n := len(other.requests()); n != 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

// A hook that was replaced finishes what has begun, also what begins late, and lets
// its connections go.
func TestClose(t *testing.T) {
	began, free := make(chan struct{}), make(chan struct{})
	b := newBackend(t, inTurn(func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-free
		says(`{"ack":[1]}`)(w, r)
	}, says(`{}`)))
	h := b.hook(t, nil)
	done := make(chan error)
	go func() {
		resp, err := h.Call(context.Background(), eventRequest())
		if err == nil && resp.Ack.Len() != 1 {
			err = errors.New("no ack")
		}
		done <- err
	}()
	<-began
	h.Close()
	if _, err := h.Call(context.Background(), eventRequest()); err != nil {
		t.Error(err)
	}
	close(free)
	if err := <-done; err != nil {
		t.Error(err)
	}
	// TestMain finds connections that are left
}

// A connection that the backend has closed meanwhile is no failure, and one that
// nothing needs is closed before common servers close it.
func TestIdleConnections(t *testing.T) {
	for name, test := range map[string]struct {
		backend time.Duration // after which it closes
		after   time.Duration
		want    int // connections
	}{
		"in use":                {time.Minute, 3 * time.Second, 1},
		"closed by the backend": {2 * time.Second, 3 * time.Second, 2},
		"closed by us":          {time.Minute, 5 * time.Second, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := unstarted(says(`{}`))
				b.Config.IdleTimeout = test.backend
				h, end := b.startInBubble(t, nil)
				defer end()
				for range 2 {
					if _, err := h.Call(context.Background(), eventRequest()); err != nil {
						t.Error(err)
					}
					time.Sleep(test.after)
				}
				if n := b.connections(); n != test.want {
					t.Errorf("%d connections, want %d", n, test.want)
				}
			})
		})
	}
}

// Operators hear of what backends do wrong, and of the circuit, but not of values.
func TestLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := inTurn(says(`{"actions":[{"type":"join","rooms":"hunter2"}]}`), status(500, ""), says(`{}`))
		_, h, end := inBubble(t, bad, func(c *config.Webhook) { c.CircuitFailures, c.CircuitPause = 1, time.Second })
		defer end()
		var log strings.Builder
		h.options.Logger = slog.New(slog.NewTextHandler(&log, nil))
		for range 3 {
			_, _ = h.Call(context.Background(), eventRequest())
			time.Sleep(time.Second)
		}
		for _, want := range []string{
			`the answer of a webhook cannot be used" webhook=test type=event id=msg_`, `problem="actions[0].rooms: must not be a JSON string"`,
			`level=WARN msg="the circuit of a webhook opens" webhook=test pause=1s error="status 500"`,
			`level=INFO msg="the circuit of a webhook closes" webhook=test`,
		} {
			if strings.Count(log.String(), want) != 1 {
				t.Errorf("not once: %s", want)
			}
		}
		if strings.Contains(log.String(), "hunter2") {
			t.Error(log.String())
		}
	})
}
