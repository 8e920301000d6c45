package webhook

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanwire/fanwire/internal/gateway/config"
)

// The circuit of a hook opens, probes with one request, and closes.
func TestCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var healthy atomic.Bool
		hold := make(chan struct{})
		b, h, end := inBubble(t, func(w http.ResponseWriter, r *http.Request) {
			if healthy.Load() {
				<-hold
				says(`{}`)(w, r)
				return
			}
			status(500, "")(w, r)
		}, func(c *config.Webhook) { c.CircuitFailures, c.CircuitPause = 3, 10*time.Second })
		defer end()
		call := func() error {
			_, err := h.Call(context.Background(), eventRequest())
			return err
		}
		var failed *StatusError
		for range 3 {
			if err := call(); !errors.As(err, &failed) {
				t.Fatal(err)
			}
		}
		if s := h.Stats(); s.Circuit != Open || s.Opened != 1 {
			t.Errorf("%+v", s)
		}
		d := took(func() {
			for range 100 {
				if err := call(); !errors.Is(err, ErrOpen) {
					t.Fatal(err)
				}
			}
		})
		if n := len(b.requests()); n != 3 || d != 0 {
			t.Errorf("%d requests, %v", n, d)
		}

		time.Sleep(10 * time.Second)
		if err := call(); !errors.As(err, &failed) { // the probe fails
			t.Error(err)
		}
		if err := call(); !errors.Is(err, ErrOpen) {
			t.Error(err)
		}

		time.Sleep(10 * time.Second)
		healthy.Store(true)
		probe := make(chan error)
		go func() { probe <- call() }()
		synctest.Wait()
		if s := h.Stats(); s.Circuit != HalfOpen || s.Opened != 2 {
			t.Errorf("%+v", s)
		}
		if err := call(); !errors.Is(err, ErrOpen) { // one probe is enough
			t.Error(err)
		}
		close(hold)
		if err := <-probe; err != nil {
			t.Error(err)
		}
		if err := call(); err != nil || h.Stats().Circuit != Closed {
			t.Error(err, h.Stats())
		}
		if n := h.Stats().Calls[Event][IsOpen]; n != 102 {
			t.Errorf("%d refused", n)
		}
	})
}

// The tries of one call count one by one, and end when the circuit opens.
func TestCircuitEndsTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, h, end := inBubble(t, status(500, ""), func(c *config.Webhook) { c.CircuitFailures, c.Retries = 2, 9 })
		defer end()
		_, err := h.Call(context.Background(), connectRequest())
		var s *StatusError
		if !errors.As(err, &s) || len(b.requests()) != 2 {
			t.Errorf("%d tries: %v", len(b.requests()), err)
		}
	})
}

// What waits for its turn when the circuit opens is refused then.
func TestCircuitFreesThoseThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, h, end := inBubble(t, hangs, func(c *config.Webhook) { c.MaxConcurrent, c.CircuitFailures, c.CircuitPause = 1, 1, time.Minute })
		defer end()
		errs := make(chan error, 10)
		go func() { _, err := h.Call(context.Background(), eventRequest()); errs <- err }()
		synctest.Wait()
		time.Sleep(4 * time.Second)
		for range 9 {
			go func() { _, err := h.Call(context.Background(), eventRequest()); errs <- err }()
		}
		d := took(func() {
			if err := <-errs; !errors.Is(err, ErrTimeout) {
				t.Error(err)
			}
			for range 9 {
				if err := <-errs; !errors.Is(err, ErrOpen) {
					t.Error(err)
				}
			}
		})
		if d != time.Second || len(b.requests()) != 1 {
			t.Errorf("after %v, %d requests", d, len(b.requests()))
		}
	})
}

func TestCircuitStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := circuit{failures: 2, pause: time.Second}
		pass := func(r result) {
			t.Helper()
			round, ok := c.enter()
			if !ok {
				t.Fatal("closed to requests")
			}
			c.leave(round, r)
		}
		is := func(want State) {
			t.Helper()
			if s, _ := c.stats(); s != want {
				t.Fatalf("%v, want %v", s, want)
			}
		}
		for _, r := range []result{down, alive, down, unknown, alive, down} { // not in a row
			pass(r)
		}
		is(Closed)
		late, _ := c.enter()
		pass(down)
		is(Open)
		c.leave(late, alive) // it began before, and tells nothing new
		is(Open)

		time.Sleep(time.Second)
		probe, _ := c.enter()
		if _, ok := c.enter(); ok {
			t.Error("two probes")
		}
		c.leave(late, alive)
		is(HalfOpen)
		c.leave(probe, unknown) // its caller has gone: the next one probes
		pass(down)
		is(Open)
		if _, ok := c.enter(); ok {
			t.Error("the pause begins again")
		}
		time.Sleep(time.Second)
		pass(alive)
		is(Closed)
		pass(down) // the count began anew
		is(Closed)

		off := circuit{}
		for range 100 {
			round, ok := off.enter()
			if !ok {
				t.Fatal("a circuit that is off has opened")
			}
			off.leave(round, down)
		}
	})
}
