package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanwire/fanwire/adapter"
	"github.com/gorilla/websocket"
)

// newMesh starts n nodes that reach each other. Each has "echo" and "sync".
func newMesh(t testing.TB, n int, change func(i int, cfg *Config)) []*testServer {
	t.Helper()
	hub := new(adapter.Hub)
	nodes := make([]*testServer, n)
	for i := range nodes {
		cfg := Config{NodeID: fmt.Sprintf("n%d", i+1), Adapter: hub.Factory}
		if change != nil {
			change(i, &cfg)
		}
		srv := newServer(t, cfg)
		withSync(srv)
		Handle(srv, "echo", func(_ context.Context, _ *Socket, a Args) (Args, error) { return a, nil })
		if err := srv.Advertise(srv.http.URL); err != nil {
			t.Fatal(err)
		}
		if err := srv.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		nodes[i] = srv
	}
	for _, srv := range nodes {
		srv.knows(t, nodes...)
	}
	return nodes
}

// knows waits until srv has the addresses of all.
func (ts *testServer) knows(t testing.TB, all ...*testServer) {
	t.Helper()
	for _, other := range all {
		eventually(t, "the address of "+other.NodeID(), func() bool {
			d := ts.directory()
			return d != nil && d.Address(other.NodeID()) == other.http.URL
		})
	}
}

// poller is a client on polling whose every request goes to the node of its choice.
type poller struct {
	t      testing.TB
	client *http.Client
	sid    string
	stamp  int
}

const pollingQuery = "/socket.io/?EIO=4&transport=polling"

// poll opens a polling session at a node.
func (ts *testServer) poll(t testing.TB) *poller {
	t.Helper()
	// On a connection that is used for the first time net/http sends nothing twice.
	p := &poller{t: t, client: &http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}}}
	t.Cleanup(p.client.CloseIdleConnections)
	status, body := p.do(ts, http.MethodGet, "")
	if status != http.StatusOK {
		t.Fatalf("handshake: %d %q", status, body)
	}
	p.sid = strings.Split(body, `"`)[3]
	return p
}

func (p *poller) request(ctx context.Context, ts *testServer, method, body string, header ...string) *http.Request {
	p.t.Helper()
	url := ts.http.URL + pollingQuery
	if p.sid != "" {
		url += "&sid=" + p.sid
	}
	p.stamp++
	r, err := http.NewRequestWithContext(ctx, method, fmt.Sprint(url, "&t=", p.stamp), strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

func (p *poller) do(ts *testServer, method, body string, header ...string) (status int, answer string) {
	p.t.Helper()
	resp, err := p.client.Do(p.request(p.t.Context(), ts, method, body, header...))
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp.StatusCode, err.Error()
	}
	return resp.StatusCode, string(data)
}

func (p *poller) get(ts *testServer) string {
	p.t.Helper()
	status, body := p.do(ts, http.MethodGet, "")
	if status != http.StatusOK {
		p.t.Fatalf("poll at %s: %d %q", ts.NodeID(), status, body)
	}
	return body
}

func (p *poller) post(ts *testServer, packets ...string) {
	p.t.Helper()
	if status, body := p.do(ts, http.MethodPost, strings.Join(packets, "\x1e")); body != "ok" {
		p.t.Fatalf("post at %s: %d %q", ts.NodeID(), status, body)
	}
}

// upgrade changes to a WebSocket by way of a node.
func (p *poller) upgrade(ts *testServer) *peer {
	p.t.Helper()
	url := "ws" + strings.TrimPrefix(ts.http.URL, "http") + "/socket.io/?EIO=4&transport=websocket&sid=" + p.sid
	ws, _, err := websocket.DefaultDialer.Dial(url, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { ws.Close() })
	w := &peer{t: p.t, ws: ws}
	w.send("2probe")
	w.expect("3probe")
	w.send("5")
	return w
}

// connect joins "/" by way of a node.
func (p *poller) connect(ts *testServer) {
	p.t.Helper()
	p.post(ts, "40")
	if got := p.get(ts); !strings.HasPrefix(got, `40{"sid":"`) {
		p.t.Fatalf("CONNECT: %q", got)
	}
}

// background makes a GET that the node is to hold, and returns when it is on its
// way to the owner.
func (p *poller) background(ctx context.Context, via, owner *testServer) <-chan string {
	p.t.Helper()
	before := owner.Stats().Relayed
	r := p.request(ctx, via, http.MethodGet, "")
	answer := make(chan string, 1)
	go func() {
		resp, err := p.client.Do(r)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			answer <- err.Error()
			return
		}
		answer <- fmt.Sprint(resp.StatusCode, " ", string(body))
	}()
	eventually(p.t, "the relayed poll", func() bool { return owner.Stats().Relayed > before })
	return answer
}

// unknown checks that a node gives the official answer for a session that nobody
// has.
func (p *poller) unknown(ts *testServer, header ...string) {
	p.t.Helper()
	status, body := p.do(ts, http.MethodGet, "", header...)
	if status != http.StatusBadRequest || body != `{"code":1,"message":"Session ID unknown"}` {
		p.t.Errorf("at %s: %d %q", ts.NodeID(), status, body)
	}
}

// Every request of a session at another node than the one before: polling, then the
// upgrade (design.md, section 4).
func TestForward(t *testing.T) {
	nodes := newMesh(t, 3, nil)
	a, b, c := nodes[0], nodes[1], nodes[2]
	p := a.poll(t)
	p.connect(b)
	p.post(c, `421["echo","x"]`, `422["echo",1]`)
	want := "431[\"x\"]\x1e432[1]"
	got := p.get(b)
	if len(got) < len(want) { // the handlers of what a POST brings are not awaited
		got += "\x1e" + p.get(b)
	}
	if got != want {
		t.Fatalf("%q, want %q", got, want)
	}
	poll := p.background(t.Context(), c, a)
	if err := b.Emit(t.Context(), "news", 1); err != nil {
		t.Fatal(err)
	}
	if got := recv(t, poll); got != `200 42["news",1]` {
		t.Fatal(got)
	}
	w := p.upgrade(b)
	w.send(`423["echo","y"]`)
	w.expect(`433["y"]`)
	if err := c.Emit(t.Context(), "big", strings.Repeat("x", 100_000)); err != nil {
		t.Fatal(err)
	}
	w.expect(`42["big","` + strings.Repeat("x", 100_000) + `"]`)
	eventually(t, "the end of all but the tunnel", func() bool { return b.Stats().Forwarding == 1 })
	if st := b.Stats(); st.Forwarded < 3 || st.WebSocket != 0 {
		t.Errorf("%+v", st)
	}
	if st := a.Stats(); st.Relayed < 6 || st.WebSocket != 1 || st.BadHops != 0 {
		t.Errorf("%+v", st)
	}
	_ = w.ws.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""))
	if code := w.closed(); code != 1000 {
		t.Errorf("close code %d", code)
	}
	eventually(t, "the end of the tunnel", func() bool { return b.Stats().Forwarding == 0 && a.Stats().Sessions == 0 })
}

// The owner judges the origin by the Host that the client used, and its headers
// come once (HRD-13).
func TestForwardedOrigin(t *testing.T) {
	nodes := newMesh(t, 2, func(_ int, cfg *Config) { cfg.CORS.Origins = []string{"https://app.example"} })
	p := nodes[0].poll(t)
	p.post(nodes[1], "40")
	for origin, want := range map[string]int{"https://app.example": 200, nodes[1].http.URL: 200, "https://evil.example": 403} {
		if want == 200 {
			if err := nodes[0].Emit(t.Context(), "e"); err != nil {
				t.Fatal(err)
			}
		}
		resp, err := p.client.Do(p.request(t.Context(), nodes[1], http.MethodGet, "", "Origin", origin))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", origin, resp.StatusCode, want)
		}
		allowed := resp.Header.Values("Access-Control-Allow-Origin")
		if origin == "https://app.example" && (len(allowed) != 1 || allowed[0] != origin) || len(resp.Header.Values("Vary")) != 1 {
			t.Errorf("%s: %v", origin, resp.Header)
		}
	}
}

// Who has no living owner is told so, and the cause is counted.
func TestForwardWithoutOwner(t *testing.T) {
	nodes := newMesh(t, 2, nil)
	a, b := nodes[0], nodes[1]
	p := a.poll(t)
	sid := p.sid
	for _, other := range []string{sid[:27], sid[:27] + ".", sid[1:], sid[:27] + ".n2", sid + "!", "n1"} {
		p.sid = other
		p.unknown(b)
	}
	p.sid = sid[:27] + ".n9"
	p.unknown(b)
	if got := b.Stats().ForwardErrors; got["owner unknown"] != 1 {
		t.Error(got)
	}
	p.sid = sid[:26] + "-.n1" // nobody's, but the owner lives
	p.unknown(b)
	p.sid = sid
	a.http.CloseClientConnections()
	a.http.Listener.Close()
	p.unknown(b)
	if got := b.Stats().ForwardErrors; got["owner unreachable"]+got["cut"] != 1 {
		t.Error(got)
	}
	if err := a.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.unknown(b)
	if got := b.Stats().ForwardErrors; got["owner unknown"] != 2 {
		t.Error(got)
	}
}

// A hop that no node has made is worth nothing, reaches nobody and keeps the request
// from being handed on.
func TestForgedHop(t *testing.T) {
	var seen http.Header
	nodes := newMesh(t, 2, func(i int, cfg *Config) {
		cfg.AllowRequest = func(r *http.Request) error {
			if r.Header.Get("X-Test") != "" {
				seen = r.Header
			}
			return nil
		}
	})
	a, b := nodes[0], nodes[1]
	p := a.poll(t)
	p.connect(b)
	uri := "/socket.io/?EIO=4&transport=polling&sid=" + p.sid
	other, err := newHopKey([]byte("another secret than the cluster's"))
	if err != nil {
		t.Fatal(err)
	}
	good := b.forward.key().sign("n2", "n1", "GET", uri, "192.0.2.1:1")
	for name, hop := range map[string]string{
		"empty":          "",
		"words":          "1 n2 n1 192.0.2.1:1 x y",
		"another key":    other.sign("n2", "n1", "GET", uri, "192.0.2.1:1"),
		"another URI":    good,
		"another target": b.forward.key().sign("n2", "n9", "GET", fmt.Sprint(uri, "&t=", p.stamp+1), "192.0.2.1:1"),
		"another method": b.forward.key().sign("n2", "n1", "POST", uri, "192.0.2.1:1"),
		"cut":            good[:len(good)-1],
	} {
		bad := a.Stats().BadHops
		p.unknown(b, hopHeader, hop) // not handed on
		status, body := p.do(a, http.MethodPost, `421["echo","x"]`, hopHeader, hop)
		if status != 200 || body != "ok" {
			t.Errorf("%s: %d %q", name, status, body)
		}
		if got := a.Stats().BadHops; got != bad+1 {
			t.Errorf("%s: %d bad hops, want %d", name, got, bad+1)
		}
	}
	before := a.Stats().Relayed
	p.sid = ""
	if status, _ := p.do(a, http.MethodGet, "", hopHeader, "x", "X-Test", "1"); status != 200 || seen.Get(hopHeader) != "" || seen.Get("X-Test") == "" {
		t.Errorf("handshake with a hop: %d, %v", status, seen)
	}
	if got := a.Stats().Relayed; got != before {
		t.Errorf("%d requests taken for relayed ones", got-before)
	}
}

// liar is a directory that says where a node is, whether it is there or not.
type liar struct {
	adapter.Adapter
	adapter.Directory
	addresses map[string]string
}

func (l *liar) Address(node string) string { return l.addresses[node] }

// Nodes that send each other what neither has make no loop, not even with two
// secrets.
func TestForwardLoop(t *testing.T) {
	for name, secrets := range map[string][2]string{"one secret": {}, "two secrets": {"the first of secrets", "the second of secrets"}} {
		t.Run(name, func(t *testing.T) {
			addresses := map[string]string{}
			hub := new(adapter.Hub)
			var nodes []*testServer
			for i := range 2 {
				srv := newServer(t, Config{
					NodeID:        fmt.Sprintf("n%d", i+1),
					ClusterSecret: []byte(secrets[i]),
					Adapter: func(h adapter.Host) (adapter.Adapter, error) {
						a, err := hub.Factory(h)
						return &liar{a, a.(adapter.Directory), addresses}, err
					},
				})
				if err := srv.Ready(t.Context()); err != nil {
					t.Fatal(err)
				}
				nodes = append(nodes, srv)
			}
			// A third one, of which each believes that it is the other.
			p := &poller{t: t, client: http.DefaultClient, sid: strings.Repeat("x", 27) + ".n3"}
			for i := range nodes {
				addresses["n3"] = nodes[1-i].http.URL
				p.unknown(nodes[i])
				addresses["n3"] = nodes[i].http.URL // itself
				p.unknown(nodes[i])
			}
			http.DefaultClient.CloseIdleConnections()
			for _, srv := range nodes {
				if st := srv.Stats(); st.Forwarded != 2 || st.BadHops != 2 || st.Relayed != 0 {
					t.Errorf("%s: %d forwarded, %d bad hops, %d relayed", srv.NodeID(), st.Forwarded, st.BadHops, st.Relayed)
				}
			}
		})
	}
}

func TestForwardLimit(t *testing.T) {
	nodes := newMesh(t, 2, func(_ int, cfg *Config) { cfg.Limits.Forwarded = 1 })
	a, b := nodes[0], nodes[1]
	p, q := a.poll(t), a.poll(t)
	ctx, cancel := context.WithCancel(t.Context())
	poll := p.background(ctx, b, a)
	resp, err := q.client.Do(q.request(t.Context(), b, http.MethodPost, "40"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
	if got := b.Stats().ForwardErrors["busy"]; got != 1 {
		t.Errorf("busy: %d", got)
	}
	cancel()
	recv(t, poll)
	eventually(t, "the end of the poll", func() bool { return b.Stats().Forwarding == 0 })
	q.post(b, "40")

	off := newMesh(t, 2, func(_ int, cfg *Config) { cfg.Limits.Forwarded = -1 })
	off[0].poll(t).unknown(off[1])
}

// A body that is too large does not reach the owner whole, and the session stays
// (EIO-P-10); what is not, does.
func TestForwardedPayload(t *testing.T) {
	nodes := newMesh(t, 2, func(_ int, cfg *Config) { cfg.MaxPayload = 10_000 })
	a, b := nodes[0], nodes[1]
	p := a.poll(t)
	p.connect(b)
	text := strings.Repeat("x", 9000)
	for _, chunked := range []bool{false, true} {
		send := func(body string) (int, string) {
			r := p.request(t.Context(), b, http.MethodPost, body)
			if chunked {
				r.ContentLength, r.Body = -1, io.NopCloser(strings.NewReader(body))
			}
			resp, err := p.client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			answer, _ := io.ReadAll(resp.Body)
			return resp.StatusCode, string(answer)
		}
		if status, body := send(`421["echo","` + text + text + `"]`); status != http.StatusRequestEntityTooLarge || body != "" {
			t.Errorf("chunked %v: %d %q", chunked, status, body)
		}
		if status, body := send(`421["echo","` + text + `"]`); status != http.StatusOK || body != "ok" {
			t.Errorf("chunked %v: %d %q", chunked, status, body)
		}
		if got := p.get(b); got != `431["`+text+`"]` {
			t.Errorf("chunked %v: %.100q", chunked, got)
		}
	}
}

// A relay that dies leaves the sessions of its polls; a cut POST is not handled
// (HRD-22).
func TestRelayDies(t *testing.T) {
	nodes := newMesh(t, 3, nil)
	a, b, c := nodes[0], nodes[1], nodes[2]
	p := a.poll(t)
	p.connect(b)
	poll := p.background(t.Context(), b, a)
	b.http.CloseClientConnections() // from clients and to them
	if got := recv(t, poll); !strings.Contains(got, "EOF") {
		t.Fatal(got)
	}
	// The owner may see the cut before this, or answer into the void.
	if err := a.Emit(t.Context(), "news", 1); err != nil {
		t.Fatal(err)
	}
	p.stamp-- // as a balancer sends the poll again
	if got := p.get(c); got != `42["news",1]` {
		t.Fatalf("%q", got)
	}
	// Half a POST.
	conn, err := net.Dial("tcp", b.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	relayed := a.Stats().Relayed
	fmt.Fprintf(conn, "POST %s&sid=%s HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n42[", pollingQuery, p.sid)
	eventually(t, "the relayed POST", func() bool { return a.Stats().Relayed > relayed })
	conn.Close()
	eventually(t, "the end of the POST", func() bool { return b.Stats().Forwarding == 0 })
	eventually(t, "the next POST", func() bool {
		status, _ := p.do(c, http.MethodPost, `421["echo","x"]`)
		return status == http.StatusOK
	})
}

// Shutdown of a relay ends what it has under way: polls by an answer, so that nothing
// is lost and nobody notices. The sessions are not its own.
func TestShutdownOfRelay(t *testing.T) {
	nodes := newMesh(t, 2, nil)
	a, b := nodes[0], nodes[1]
	p := a.poll(t)
	p.connect(a)
	poll := p.background(t.Context(), b, a)
	w := a.poll(t).upgrade(b)
	if err := b.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := recv(t, poll); got != "200 6" {
		t.Error(got)
	}
	if status, _ := p.do(b, http.MethodGet, ""); status != http.StatusServiceUnavailable {
		t.Errorf("a poll after Shutdown: %d", status)
	}
	if _, _, err := w.ws.ReadMessage(); err == nil {
		t.Error("the tunnel stands")
	}
	if err := a.Emit(t.Context(), "news"); err != nil {
		t.Fatal(err)
	}
	if got := p.get(a); got != `42["news"]` {
		t.Errorf("%q", got)
	}
}

// A node that drains hands on polls, and begins no upgrade that its end could break
// off; one that has just begun it lets finish.
func TestDrainOfRelay(t *testing.T) {
	nodes := newMesh(t, 2, nil)
	a, b := nodes[0], nodes[1]
	p := a.poll(t)
	p.connect(b)
	begun := time.Now()
	w := a.poll(t).upgrade(b)
	if err := b.Drain(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(begun); d < upgradeTime {
		t.Errorf("the drain ended at most %v after an upgrade had begun", d)
	}
	url := "ws" + strings.TrimPrefix(b.http.URL, "http") + "/socket.io/?EIO=4&transport=websocket&sid=" + p.sid
	if ws, res, err := websocket.DefaultDialer.Dial(url, nil); err == nil || res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("an upgrade: %v", err)
		if err == nil {
			ws.Close()
		}
	}
	if err := a.Emit(t.Context(), "news"); err != nil {
		t.Fatal(err)
	}
	if got := p.get(b); got != `42["news"]` {
		t.Errorf("%q", got)
	}
	w.send("40")
	if got := w.read(); !strings.HasPrefix(got, `40{"sid":"`) {
		t.Errorf("the tunnel: %q", got)
	}
}

// noSecret is a directory whose broker is away.
type noSecret struct {
	adapter.Adapter
	adapter.Directory
}

func (noSecret) Secret(ctx context.Context, _ []byte) ([]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// Without a secret nothing is handed on, and nothing waits for long.
func TestForwardWithoutSecret(t *testing.T) {
	hub := new(adapter.Hub)
	owner := newServer(t, Config{NodeID: "n1", Adapter: hub.Factory})
	if err := owner.Advertise(owner.http.URL); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	relay := newServer(t, Config{
		NodeID: "n2",
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
		Adapter: func(h adapter.Host) (adapter.Adapter, error) {
			a, err := hub.Factory(h)
			return noSecret{a, a.(adapter.Directory)}, err
		},
	})
	for _, srv := range []*testServer{owner, relay} {
		if err := srv.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	relay.knows(t, owner)
	begin := time.Now()
	owner.poll(t).unknown(relay)
	if got := relay.Stats().ForwardErrors["no secret"]; got != 1 || time.Since(begin) > 5*time.Second {
		t.Error(got, time.Since(begin))
	}
}

// rareSecret is a directory whose secret is changed by the test.
type rareSecret struct {
	adapter.Directory
	secret atomic.Pointer[[]byte]
	known  atomic.Pointer[[]byte] // what it was given last
}

func (d *rareSecret) Secret(_ context.Context, known []byte) ([]byte, error) {
	d.known.Store(&known)
	if s := d.secret.Load(); s != nil {
		return *s, nil
	}
	return nil, errors.New("away")
}

// A broker that has lost the secret is given it back, and one that another node has
// made meanwhile is taken, so that nodes that began at different times trust each
// other again.
func TestForwardSecretChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		f, d := srv.forward, new(rareSecret)
		one, other := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
		f.ask(d)
		synctest.Wait()
		if f.key() != nil {
			t.Error("a key from nowhere")
		}
		d.secret.Store(&one)
		time.Sleep(secretRetry)
		synctest.Wait()
		first := f.key()
		if first == nil {
			t.Fatal("no key")
		}
		d.secret.Store(nil) // Redis is away
		time.Sleep(secretLook)
		synctest.Wait()
		if got := *d.known.Load(); !bytes.Equal(got, one) || !bytes.Equal(f.key(), first) {
			t.Errorf("gives %x, has %x", got, f.key())
		}
		d.secret.Store(&other)
		time.Sleep(secretLook)
		synctest.Wait()
		if want, _ := newHopKey(other); !bytes.Equal(f.key(), want) {
			t.Error("the new secret is not taken")
		}
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestForwardConfig(t *testing.T) {
	for _, address := range []string{"10.0.0.1:3000", "ftp://a", "http://", "http://a/path", "http://a?x", "http://u@a", "http://a b"} {
		if _, err := New(Config{Advertise: address}); err == nil {
			t.Errorf("%q is taken", address)
		}
	}
	if _, err := New(Config{ClusterSecret: []byte("short")}); err == nil {
		t.Error("a short secret is taken")
	}
	srv := newPlainServer(t, Config{Advertise: "https://node-1.example/"})
	if err := srv.Advertise("x"); err == nil {
		t.Error("a bad address is taken")
	}
	// A node without a directory, given a session of another one.
	w := httptest.NewRecorder()
	srv.ServeHTTP(w, httptest.NewRequest("GET", pollingQuery+"&sid="+strings.Repeat("x", 27)+".n2", nil))
	if w.Code != http.StatusBadRequest {
		t.Error(w.Code)
	}
}

// lateDirectory learns the address of a node when it is asked for the third time.
type lateDirectory struct {
	adapter.Directory
	asked int
}

func (d *lateDirectory) Address(string) string {
	if d.asked++; d.asked < 3 {
		return ""
	}
	return "http://127.0.0.1:1"
}

// TestForwardYoung: a node that has only begun gives the others a moment to be
// known; later it does not.
func TestForwardYoung(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		f := srv.forward
		f.start()
		if got := f.addressOf(t.Context(), &lateDirectory{}, "n2"); got == "" {
			t.Error("a young node did not wait")
		}
		time.Sleep(forwardYoung)
		d := &lateDirectory{}
		if got := f.addressOf(t.Context(), d, "n2"); got != "" || d.asked != 1 {
			t.Errorf("an old node asked %d times: %q", d.asked, got)
		}
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
