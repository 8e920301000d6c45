package listener

import (
	"errors"
	"net"
	"net/http"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// HRD-14: over the cap a client gets its answer at once, and a freed slot is used
// again.
func TestRefusesOverTheCap(t *testing.T) {
	s := startServer(t, Config{MaxConns: 2})
	var in []net.Conn
	for range 2 {
		c := dial(t, s)
		send(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		answer(t, c)
		in = append(in, c)
	}
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr, Timeout: patience}
	get := func() *http.Response {
		res, err := client.Get(s.URL())
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res
	}
	for range 20 {
		res := get()
		wait := res.Header.Get("Retry-After")
		if res.StatusCode != 503 || !res.Close || wait < "1" || wait > "5" || len(wait) != 1 {
			t.Fatalf("%s, Retry-After %q, close %v", res.Status, wait, res.Close)
		}
	}
	if st := s.Stats(); st.Open != 2 || st.Accepted != 2 || st.Refused != 20 {
		t.Errorf("%+v", st)
	}
	_ = in[0].Close()
	eventually(t, "a slot is free", func() bool { return s.Stats().Open == 1 })
	if res := get(); res.StatusCode != 200 {
		t.Error(res.Status)
	}
}

// Silent connections over the cap neither stop the accept loop nor stay.
func TestRefusesSilentConnections(t *testing.T) {
	s := startServer(t, Config{MaxConns: 1})
	keep := dial(t, s)
	eventually(t, "the slot is taken", func() bool { return s.Stats().Open == 1 })
	var silent []net.Conn
	for range 2 * maxRefusing {
		silent = append(silent, dial(t, s))
	}
	eventually(t, "all refused", func() bool { return s.Stats().Refused == 2*maxRefusing })
	for _, c := range silent {
		ended(t, c)
	}
	send(t, keep, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if res, _ := answer(t, keep); res.StatusCode != 200 {
		t.Error(res.Status)
	}
}

// Two servers of one process share a cap.
func TestSharedSlots(t *testing.T) {
	slots := NewSlots(1)
	a, b := startServer(t, Config{Slots: slots}), startServer(t, Config{Slots: slots})
	c := dial(t, a)
	eventually(t, "the slot is taken", func() bool { return slots.Used() == 1 })
	d := dial(t, b)
	send(t, d, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if res, _ := answer(t, d); res.StatusCode != 503 {
		t.Error(res.Status)
	}
	_ = c.Close()
	eventually(t, "the slot is free", func() bool { return slots.Used() == 0 })
}

// failing is a listener without descriptors.
type failing struct {
	net.Listener
	errs  []error
	times []time.Time
}

func (f *failing) Accept() (net.Conn, error) {
	f.times = append(f.times, time.Now())
	if len(f.errs) == 0 {
		return nil, net.ErrClosed
	}
	err := f.errs[0]
	f.errs = f.errs[1:]
	return nil, err
}

func (f *failing) Close() error { return nil }

// HRD-74: accept errors back off from 5 ms to 1 s and are survived, whatever they
// are.
func TestAcceptBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, Config{})
		defer s.cancel()
		f := &failing{}
		for range 10 {
			f.errs = append(f.errs, &net.OpError{Op: "accept", Err: syscall.EMFILE})
		}
		f.errs[9] = errors.New("something new")
		if _, err := newAcceptor(f, s).Accept(); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		want := []time.Duration{5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000}
		for i, w := range want {
			if got := f.times[i+1].Sub(f.times[i]); got != w*time.Millisecond {
				t.Errorf("pause %d is %v, want %v ms", i, got, w)
			}
		}
		if n := s.Stats().AcceptErrors; n != 10 {
			t.Errorf("%d errors counted", n)
		}
	})
}

// A stop does not wait for the back-off.
func TestCloseDuringBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, Config{})
		defer s.cancel()
		a := newAcceptor(&failing{errs: slices.Repeat([]error{syscall.EMFILE}, 1000)}, s)
		start := time.Now()
		time.AfterFunc(1500*time.Millisecond, func() { _ = a.Close() })
		if _, err := a.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if took := time.Since(start); took != 1500*time.Millisecond {
			t.Errorf("Accept returned after %v", took)
		}
	})
}

func TestDefaultMaxConns(t *testing.T) {
	tests := []struct {
		files uint64
		want  int
	}{{256, 192}, {1024, 768}, {4096, 3584}, {1 << 20, 1<<20 - 512}, {1<<64 - 1, 1<<20 - 512}, {100, 36}, {10, 1}}
	for _, tt := range tests {
		if got := maxConns(tt.files); got != tt.want {
			t.Errorf("%d files: %d connections, want %d", tt.files, got, tt.want)
		}
	}
}
