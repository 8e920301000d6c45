package demo

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fanwire/fanwire/internal/listener"
)

// serve runs a handler on a port of its own until the end of the test.
func serve(t *testing.T, h http.Handler) *listener.Server {
	t.Helper()
	s, err := listener.New(listener.Config{Handler: h, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s
}

func stop(t *testing.T, s interface{ Shutdown(context.Context) error }) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

// fakeNode answers with its id, and echoes lines after an upgrade.
func fakeNode(id string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			body, _ := io.ReadAll(r.Body)
			_, _ = fmt.Fprintf(w, "%s %s", id, body)
			return
		}
		c, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
		for {
			line, err := buf.ReadString('\n')
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, id+" "+line)
		}
	})
}

// dead is an address at which nobody listens.
func dead(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// startBalancer starts fake nodes n1, n2 ..., and a balancer before them.
func startBalancer(t *testing.T, nodes int) (*balancer, string) {
	t.Helper()
	var list []*backend
	for i := range nodes {
		id := fmt.Sprintf("n%d", i+1)
		list = append(list, &backend{id: id, addr: serve(t, fakeNode(id)).Addr().String()})
	}
	b := newBalancer(list, quiet())
	front := serve(t, b)
	t.Cleanup(b.close)
	return b, front.URL()
}

type request struct {
	method, path, body, cookie string
}

func do(t *testing.T, url string, q request) (*http.Response, string) {
	t.Helper()
	method := q.method
	if method == "" {
		method = http.MethodGet
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url+q.path, strings.NewReader(q.body))
	if err != nil {
		t.Fatal(err)
	}
	if q.cookie != "" {
		r.AddCookie(&http.Cookie{Name: cookieName, Value: q.cookie})
	}
	r.Close = true // leaves nothing open
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, strings.TrimSpace(string(text))
}

func TestRouting(t *testing.T) {
	_, url := startBalancer(t, 3)
	tests := []struct {
		name string
		q    request
		want string
	}{
		{"sid", request{path: "/socket.io/?EIO=4&sid=abc.n2"}, "n2"},
		{"sid before cookie", request{path: "/socket.io/?sid=abc.n3", cookie: "n1"}, "n3"},
		{"sid before pin", request{path: "/socket.io/?sid=abc.n3&node=n1"}, "n3"},
		{"post", request{method: "POST", path: "/socket.io/?sid=abc.n2", body: "hi"}, "n2 hi"},
		{"cookie, sid without a node", request{path: "/socket.io/?sid=abc", cookie: "n3"}, "n3"},
		{"cookie, sid of a stranger", request{path: "/socket.io/?sid=abc.n9", cookie: "n2"}, "n2"},
		{"pin", request{path: "/socket.io/?EIO=4&node=n3"}, "n3"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for range 3 {
				if _, got := do(t, url, tt.q); got != tt.want {
					t.Errorf("answer of %q, want %q", got, tt.want)
				}
			}
		})
	}
}

// New sessions take turns, also with a cookie: the tabs of a browser share it.
// Each answer sets the cookie that is right for it.
func TestTurns(t *testing.T) {
	_, url := startBalancer(t, 3)
	var got []string
	for range 6 {
		res, id := do(t, url, request{path: "/socket.io/?EIO=4", cookie: "n1"})
		got = append(got, id)
		set := res.Cookies()
		switch {
		case id == "n1" && len(set) != 0:
			t.Error("the cookie was set again")
		case id != "n1" && (len(set) != 1 || set[0].Name != cookieName || set[0].Value != id || !set[0].HttpOnly):
			t.Errorf("answer of %s with cookies %v", id, set)
		}
	}
	if want := []string{"n1", "n2", "n3", "n1", "n2", "n3"}; !slices.Equal(got, want) {
		t.Errorf("turns %v", got)
	}
	if res, _ := do(t, url, request{path: "/socket.io/?sid=a.n2", cookie: "n1"}); len(res.Cookies()) != 0 {
		t.Error("a request of a session changed the cookie")
	}
}

// A node that does not answer is replaced: for new sessions, for pinned ones, and
// for its own sessions, which then learn that they are unknown.
func TestDeadNode(t *testing.T) {
	b, url := startBalancer(t, 3)
	b.nodes[1].addr = dead(t)
	for _, q := range []request{
		{path: "/socket.io/?EIO=4&node=n2"},
		{path: "/socket.io/?sid=abc.n2"},
		{method: "POST", path: "/socket.io/?sid=abc.n2", body: "hi"},
	} {
		res, got := do(t, url, q)
		if res.StatusCode != http.StatusOK || !strings.HasPrefix(got, "n1") {
			t.Errorf("%+v: %s %q", q, res.Status, got)
		}
		if q.body != "" && got != "n1 hi" {
			t.Errorf("the body was lost: %q", got)
		}
	}
	if b.nodes[1].downSince.Load() == 0 { // up would be true again after a second
		t.Error("n2 counts as up")
	}
	for range 6 {
		if _, got := do(t, url, request{path: "/socket.io/?EIO=4"}); got == "n2" {
			t.Error("a new session on a dead node")
		}
	}
	b.nodes[1].addr = serve(t, fakeNode("n2")).Addr().String() // it is back
	if _, got := do(t, url, request{path: "/socket.io/?sid=abc.n2"}); got != "n2" || !b.nodes[1].up() {
		t.Errorf("answer of %q after the return", got)
	}
}

func TestAllDead(t *testing.T) {
	b, url := startBalancer(t, 2)
	for _, n := range b.nodes {
		n.addr = dead(t)
	}
	res, _ := do(t, url, request{path: "/socket.io/?EIO=4"})
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
		t.Errorf("%s %v", res.Status, res.Header)
	}
}

// breaker is a node that answers the first request on each connection and breaks
// the connection when it has read the second.
func breaker(t *testing.T) (addr string, seen <-chan *http.Request) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	all := make(chan *http.Request, 100)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(patience))
				in := bufio.NewReader(c)
				for i := range 2 {
					r, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, r.Body)
					all <- r
					if i == 0 {
						_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		wg.Wait()
	})
	return ln.Addr().String(), all
}

// A request of a session whose connection to the node breaks when it has been read
// is sent to nobody else, and not once more to the same node, though the connection
// was an old one: the answer of a poll would be lost unseen.
func TestSessionRequestsAreSentOnce(t *testing.T) {
	for _, q := range []request{
		{path: "/socket.io/?sid=abc.n1"},
		{method: "POST", path: "/socket.io/?sid=abc.n1", body: "x"},
		{method: "OPTIONS", path: "/socket.io/?sid=abc.n1"},
	} {
		b, url := startBalancer(t, 2)
		addr, seen := breaker(t)
		b.nodes[0].addr = addr
		if res, got := do(t, url, q); res.StatusCode != http.StatusOK || got != "ok" {
			t.Fatalf("%+v: %s %q", q, res.Status, got)
		}
		if res, _ := do(t, url, q); res.StatusCode != http.StatusBadGateway {
			t.Errorf("%+v: %s", q, res.Status)
		}
		if len(seen) != 2 {
			t.Errorf("%+v: the node got %d requests, want 2", q, len(seen))
		}
		for range len(seen) {
			if r := <-seen; q.body == "" && (r.ContentLength != 0 || len(r.TransferEncoding) != 0) {
				t.Errorf("%+v: arrived with a body", q)
			}
		}
	}
}

// A handshake whose connection breaks begins at another node.
func TestHandshakesAreRepeated(t *testing.T) {
	b, url := startBalancer(t, 2)
	b.nodes[0].addr, _ = breaker(t)
	_, _ = do(t, url, request{path: "/socket.io/?sid=abc.n1"})
	if _, got := do(t, url, request{path: "/socket.io/?EIO=4&node=n1"}); got != "n2" {
		t.Errorf("answered by %q", got)
	}
}

// The node sees the client's Host, query and headers as they were sent.
func TestPassesThrough(t *testing.T) {
	seen := make(chan *http.Request, 1)
	node := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r }))
	b := newBalancer([]*backend{{id: "n1", addr: node.Addr().String()}}, quiet())
	front := serve(t, b)
	defer b.close()

	c, err := net.Dial("tcp", front.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const target = "/socket.io/?EIO=4&a=%zz;b&x=[]"
	_, _ = io.WriteString(c, "GET "+target+" HTTP/1.1\r\nHost: chat.example:8080\r\nOrigin: http://chat.example:8080\r\n"+
		"Cookie: a=b\r\nAccept-Encoding: br\r\nX-Forwarded-For: 198.51.100.7\r\nX-Own: 1\r\n\r\n")
	r := <-seen
	for _, got := range [][2]string{
		{r.Host, "chat.example:8080"},
		{r.RequestURI, target},
		{r.Header.Get("Origin"), "http://chat.example:8080"},
		{r.Header.Get("Cookie"), "a=b"},
		{r.Header.Get("Accept-Encoding"), "br"},
		{r.Header.Get("X-Own"), "1"},
		{r.Header.Get("X-Forwarded-For"), "198.51.100.7, 127.0.0.1"},
		{r.Header.Get("X-Forwarded-Host"), "chat.example:8080"},
		{r.Header.Get("X-Forwarded-Proto"), "http"},
	} {
		if got[0] != got[1] {
			t.Errorf("got %q, want %q", got[0], got[1])
		}
	}
}

func upgrade(t *testing.T, url, query string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(c, "GET /socket.io/?"+query+" HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(res.Status)
	}
	return c, r
}

func TestUpgrade(t *testing.T) {
	_, url := startBalancer(t, 3)
	c, r := upgrade(t, url, "sid=abc.n3")
	for _, text := range []string{"hello\n", "again\n"} {
		_, _ = io.WriteString(c, text)
		if line, err := r.ReadString('\n'); err != nil || line != "n3 "+text {
			t.Errorf("%q, %v", line, err)
		}
	}
}

// A tunnel ends when its node does, and when the balancer stops.
func TestTunnelEnds(t *testing.T) {
	node, err := listener.New(listener.Config{Handler: fakeNode("n1"), Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	b := newBalancer([]*backend{{id: "n1", addr: node.Addr().String()}}, quiet())
	defer b.close()
	front, err := listener.New(listener.Config{Handler: b, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	if err := front.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	_, r := upgrade(t, front.URL(), "")
	stop(t, front)
	if _, err := r.ReadByte(); err != io.EOF {
		t.Error(err)
	}
	stop(t, node) // its connection went with the tunnel
}
