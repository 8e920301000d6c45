package listener

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
)

const plainRequest = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

func status(t *testing.T, s *Server, request string) (int, net.Conn) {
	t.Helper()
	c := dial(t, s)
	send(t, c, request)
	res, _ := answer(t, c)
	return res.StatusCode, c
}

// HRD-14: one address has its share of connections, and gets it back.
func TestMaxPerAddress(t *testing.T) {
	s := startServer(t, Config{MaxPerAddress: 2})
	var in []net.Conn
	for range 2 {
		code, c := status(t, s, plainRequest)
		if code != http.StatusOK {
			t.Fatal(code)
		}
		in = append(in, c)
	}
	if code, _ := status(t, s, plainRequest); code != http.StatusServiceUnavailable {
		t.Error("the third:", code)
	}
	if st := s.Stats(); st.PerAddress != 1 || st.Refused != 0 || st.Open != 2 {
		t.Errorf("%+v", st)
	}
	_ = in[0].Close()
	eventually(t, "a place is free", func() bool { return s.Stats().Open == 1 })
	if code, _ := status(t, s, plainRequest); code != http.StatusOK {
		t.Error("after one has left:", code)
	}
}

func TestExempt(t *testing.T) {
	s := startServer(t, Config{MaxPerAddress: 1, Exempt: netip.Addr.IsLoopback})
	for range 3 {
		if code, _ := status(t, s, plainRequest); code != http.StatusOK {
			t.Error(code)
		}
	}
}

// Behind a proxy it is the clients that count: their requests as long as they
// last, and what they have hijacked as long as that is open.
func TestMaxPerAddressBehindProxy(t *testing.T) {
	wait := make(chan struct{})
	s := startServer(t, Config{
		MaxPerAddress:  1,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/hijack":
				c, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				go func() { // ends with the client
					_, _ = io.Copy(io.Discard, c)
					_ = c.Close()
				}()
			case "/wait":
				<-wait
			}
		}),
	})
	from := func(path, client string) string {
		return "GET " + path + " HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: " + client + "\r\n\r\n"
	}
	waiting := dial(t, s)
	send(t, waiting, from("/wait", "192.0.2.1"))
	eventually(t, "it waits", func() bool { return s.perAddress.count() == 1 })
	for _, tt := range []struct {
		path, client string
		want         int
	}{
		{"/", "192.0.2.1", 503},
		{"/", "192.0.2.2", 200},
		{"/", "192.0.2.2", 200},
		{"/hijack", "2001:db8::1", 200},
		{"/", "2001:db8::2", 503}, // the same network of 64 bits
		{"/", "2001:db8:0:1::2", 200},
	} {
		if code, _ := status(t, s, from(tt.path, tt.client)); code != tt.want {
			t.Errorf("%s %s: %d, want %d", tt.path, tt.client, code, tt.want)
		}
	}
	close(wait)
	if res, _ := answer(t, waiting); res.StatusCode != http.StatusOK {
		t.Error(res.Status)
	}
	if code, _ := status(t, s, from("/", "192.0.2.1")); code != http.StatusOK {
		t.Error("after its request has ended:", code)
	}
}

// count is how many addresses have something open.
func (l *addresses) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open)
}

// A place is given back once, whoever is first: the handler or the end of what it
// has hijacked.
func TestHijackedPlacesAreGivenBack(t *testing.T) {
	s := startServer(t, Config{
		MaxPerAddress:  1,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			if r.URL.Path == "/before" {
				_ = c.Close()
				return
			}
			go c.Close()
		}),
	})
	for range 20 {
		for _, path := range []string{"/before", "/after"} {
			c := dial(t, s)
			send(t, c, "GET "+path+" HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n")
			ended(t, c)
			eventually(t, "the place is free", func() bool { return s.perAddress.count() == 0 })
		}
	}
}
