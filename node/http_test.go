package node

import (
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gorilla/websocket"

	"github.com/fanwire/fanwire/protocol/msgpack"
	"github.com/fanwire/fanwire/protocol/socketio"
)

// do sends a request and returns the status and body.
func do(t *testing.T, method, url, body string, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(data)
}

// A whole conversation over polling: several CONNECTs in one POST (SIO-C-11),
// binary as base64, an ack.
func TestPolling(t *testing.T) {
	srv := newServer(t, Config{})
	srv.Of("/admin")
	Handle(srv, "double", func(_ context.Context, _ *Socket, b Binary) (Binary, error) { return append(b, b...), nil })
	base := srv.http.URL + "/socket.io/?EIO=4&transport=polling"
	_, open := do(t, "GET", base, "")
	sid := strings.Split(open, `"`)[3]
	if len(sid) != 28+len(srv.NodeID()) || !strings.HasSuffix(sid, "."+srv.NodeID()) { // HRD-12
		t.Fatal(open)
	}
	url := base + "&sid=" + sid
	post := func(packets ...string) {
		t.Helper()
		if _, body := do(t, "POST", url, strings.Join(packets, "\x1e")); body != "ok" {
			t.Fatal(body)
		}
	}
	var got []string
	until := func(n int) []string {
		t.Helper()
		for len(got) < n {
			_, body := do(t, "GET", url, "")
			got = append(got, strings.Split(body, "\x1e")...)
		}
		list := got
		got = nil
		return list
	}
	post("40", "40/admin,", "40/zzz,")
	list := sorted(until(3))
	if !strings.HasPrefix(list[0], `40/admin,{"sid":"`) || !strings.HasPrefix(list[1], `40{"sid":"`) || list[2] != `44/zzz,{"message":"Invalid namespace"}` {
		t.Fatal(list)
	}
	post(`451-7["double",`+ph0+`]`, "b"+base64.StdEncoding.EncodeToString([]byte("ab")))
	if list := until(2); list[0] != `461-7[`+ph0+`]` || list[1] != "b"+base64.StdEncoding.EncodeToString([]byte("abab")) {
		t.Error(list)
	}
	for s := range srv.LocalSockets() {
		if s.Transport() != "polling" || s.Protocol() != 4 || s.RemoteAddr() == "" || strings.Contains(sid, s.ID()) {
			t.Error("session info")
		}
		s.Disconnect(true)
	}
	if list := until(3); fmt.Sprint(list[:2]) != "[41 41/admin,]" {
		t.Error(list)
	}
	eventually(t, "session ended", func() bool { return srv.Stats().Sessions == 0 })
	if resp, _ := do(t, "GET", url, ""); resp.StatusCode != 400 {
		t.Error(resp.Status)
	}
}

func TestPaths(t *testing.T) {
	handshake := "?EIO=4&transport=polling"
	for _, test := range []struct {
		path, url string
		want      int
	}{
		{"", "/socket.io/" + handshake, 200},
		{"", "/socket.io" + handshake, 200},
		{"", "/socket.io/", 400},
		{"", "/socket.io/other" + handshake, 200}, // SIO-S-03
		{"", "/socket.iox/" + handshake, 404},
		{"", "/" + handshake, 404},
		{"", "/x/socket.io/" + handshake, 404},
		{"/ws", "/ws/" + handshake, 200},
		{"/ws/", "/ws" + handshake, 200},
		{"/ws", "/socket.io/" + handshake, 404},
		{"/", "/anything" + handshake, 200},
	} {
		srv := newPlainServer(t, Config{Path: test.path})
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, httptest.NewRequest("GET", test.url, nil))
		if w.Code != test.want {
			t.Errorf("path %q, %s: %d, want %d", test.path, test.url, w.Code, test.want)
		}
		if w.Code == 404 && strings.Contains(w.Body.String(), "socket") {
			t.Error("echoes the path")
		}
	}
}

func TestClientFiles(t *testing.T) {
	files := fstest.MapFS{
		"socket.io.js":         {Data: []byte("/*!\n * Socket.IO v4.8.4\n */\n" + strings.Repeat("x", 1000))},
		"socket.io.min.js":     {Data: []byte("no version")},
		"socket.io.min.js.map": {Data: []byte("{}")},
		"secret.txt":           {Data: []byte("secret")},
	}
	srv := newServer(t, Config{ClientFiles: files, CORS: CORS{Origins: []string{"http://a.example"}}})
	url := srv.http.URL + "/socket.io/"
	resp, body := do(t, "GET", url+"socket.io.js?v=1", "", "Origin", "http://a.example")
	for name, want := range map[string]string{ // SIO-S-02
		"Cache-Control":               "public, max-age=0",
		"Content-Type":                "application/javascript; charset=utf-8",
		"Etag":                        `"4.8.4"`,
		"Access-Control-Allow-Origin": "http://a.example",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if resp.StatusCode != 200 || body != string(files["socket.io.js"].Data) {
		t.Error(resp.Status)
	}
	resp, body = do(t, "GET", url+"socket.io.js", "", "Accept-Encoding", "br, gzip", "Origin", "http://b.example")
	z, err := gzip.NewReader(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := io.ReadAll(z); err != nil || string(plain) != string(files["socket.io.js"].Data) || resp.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Error(err, resp.Header)
	}
	for _, etag := range []string{`"4.8.4"`, `W/"4.8.4"`} {
		if resp, body := do(t, "GET", url+"socket.io.js", "", "If-None-Match", etag); resp.StatusCode != 304 || body != "" {
			t.Error(resp.Status)
		}
	}
	if resp, _ := do(t, "GET", url+"socket.io.min.js.map", ""); resp.Header.Get("Content-Type") != "application/json; charset=utf-8" {
		t.Error(resp.Header)
	}
	if resp, body := do(t, "HEAD", url+"socket.io.min.js", ""); resp.StatusCode != 200 || body != "" || resp.ContentLength != 10 {
		t.Error(resp.Status)
	}
	for _, name := range []string{"secret.txt", "socket.io.esm.min.js", "../secret.txt", "socket.io.js/", "x/socket.io.js"} {
		if resp, body := do(t, "GET", url+name, ""); resp.StatusCode != 400 && resp.StatusCode != 404 || strings.Contains(body, "secret") {
			t.Error(name, resp.Status) // SIO-S-03
		}
	}
}

func TestHandshake(t *testing.T) {
	srv := newServer(t, Config{})
	url := "ws" + strings.TrimPrefix(srv.http.URL, "http") + "/socket.io/?EIO=4&transport=websocket&a=1&a=2&b=%3C"
	header := http.Header{"X-Two": {"1", "2"}, "Cookie": {"c=d"}, "Origin": {srv.http.URL}}
	ws, _, err := websocket.DefaultDialer.Dial(url, header)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	p := &peer{t: t, ws: ws}
	p.read()
	id := p.connect("/", `{"n":1}`)
	s, _ := srv.Socket(id)
	want := s.Handshake()
	got := parseHandshake(s.info().Handshake)
	if got.Header.Get("X-Two") != "1, 2" || got.Header.Get("Cookie") != "c=d" || !got.CrossDomain || fmt.Sprint(got.Query["a"], got.Query["b"]) != "[1 2] [<]" ||
		got.Address != "127.0.0.1" || string(got.Auth) != `{"n":1}` || !strings.HasSuffix(got.URL, "b=%3C") {
		t.Errorf("%+v", got)
	}
	got.Time = want.Time // milliseconds travel
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if text := string(s.info().Handshake); !strings.Contains(text, `GMT+0000 (Coordinated Universal Time)","address":"127.0.0.1","xdomain":true,"secure":false,"issued":1`) {
		t.Error(text)
	}
	var auth struct{ N int }
	if err := s.Auth(&auth); err != nil || auth.N != 1 {
		t.Error(err, auth)
	}
	if s.Recovered() {
		t.Error("recovered")
	}
	type user struct{ name string }
	s.SetData(user{"x"})
	if u, ok := Data[user](s); !ok || u.name != "x" {
		t.Error("Data")
	}
	if _, ok := Data[int](s); ok {
		t.Error("Data of another type")
	}
	if string(s.info().Data) != "{}" {
		t.Error(s.info().Data)
	}
	s.SetData(make(chan int))
	if s.info().Data != nil {
		t.Error("data without JSON")
	}
	if h := parseHandshake([]byte(`{"headers":{"a":1},"query":[]`)); h.Header == nil || h.Query == nil {
		t.Error(h)
	}
}

// Socket.IO 2.x clients (EIO-3-14, SIO-L-02).
func TestProtocol3(t *testing.T) {
	srv := newServer(t, Config{AllowEIO3: true})
	dial := func(query string) (*peer, string) {
		ws, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(srv.http.URL, "http")+"/socket.io/?EIO=3&transport=websocket"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ws.Close() })
		p := &peer{t: t, ws: ws}
		return p, strings.Split(p.read(), `"`)[3]
	}
	srv.Use(func(next ConnectFunc) ConnectFunc {
		return func(ctx context.Context, s *Socket) error {
			if s.Handshake().Query.Get("deny") != "" {
				return errors.New("no")
			}
			return next(ctx, s)
		}
	})
	Handle(srv, "echo", func(_ context.Context, _ *Socket, a Args) (Args, error) { return a, nil })
	nsp := srv.Of("/nsp")
	nsp.Use(func(next ConnectFunc) ConnectFunc {
		return func(ctx context.Context, s *Socket) error {
			var auth struct{ Token string }
			if err := s.Auth(&auth); err != nil || auth.Token == "" {
				return errors.Join(err, &ConnectError{Message: "denied", Data: map[string]int{"code": 1}})
			}
			return next(ctx, s)
		}
	})
	p, sid := dial("")
	p.expect("40") // by itself (EIO-3-02)
	if s, ok := srv.Socket(sid); !ok || s.Protocol() != 3 {
		t.Error("id is not the session's")
	}
	p.send(`421["echo","hé"]`)
	p.expect(`431["hé"]`)
	p.send(`451-2["echo",`+ph0+`]`, "bin:\x04xy")
	p.expect(`461-2[`+ph0+`]`, "bin:\x04xy")
	p.send("40/nsp,")
	p.expect(`44/nsp,{"code":1}`)
	p.send("40/nsp?token=abc&x=1,")
	p.expect("40/nsp,")
	if _, ok := nsp.Socket("/nsp#" + sid); !ok {
		t.Error("id outside of /")
	}
	p.send("40/unknown,")
	p.expect(`44/unknown,{"message":"Invalid namespace"}`)
	refused, _ := dial("&deny=1")
	refused.expect(`44"no"`)
}

// Both ends may agree on the msgpack parser (section 15).
func TestMsgpackParser(t *testing.T) {
	srv := newServer(t, Config{Parser: msgpack.Parser})
	Handle(srv, "echo", func(_ context.Context, _ *Socket, a Args) (Args, error) { return a, nil })
	p := srv.dial(t)
	dec := msgpack.Parser.NewDecoder(socketio.Limits{})
	send := func(q socketio.Packet) {
		msg, binary, _, err := msgpack.Parser.Encode(nil, &q)
		if err != nil || !binary {
			t.Fatal(err)
		}
		p.send("bin:" + string(msg))
	}
	receive := func() (q socketio.Packet) {
		t.Helper()
		data, ok := strings.CutPrefix(p.read(), "bin:")
		complete, err := dec.Decode([]byte(data), true, &q)
		if !ok || !complete || err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		return q
	}
	send(socketio.Packet{Type: socketio.Connect, Namespace: "/"})
	if q := receive(); q.Type != socketio.Connect || !strings.HasPrefix(string(q.Data), `{"sid":"`) {
		t.Error(q)
	}
	send(socketio.Packet{Type: socketio.Event, Namespace: "/", HasID: true, ID: 5, Data: []byte(`["echo",` + ph0 + `,1]`), Attachments: [][]byte{{7}}})
	if q := receive(); q.Type != socketio.Ack || q.ID != 5 || len(q.Attachments) != 1 || q.Attachments[0][0] != 7 {
		t.Error(q)
	}
	if err := srv.Emit(t.Context(), "all", "x"); err != nil {
		t.Fatal(err)
	}
	if q := receive(); string(q.Data) != `["all","x"]` {
		t.Error(q)
	}
	p.send("42")
	p.closed() // text is a decode error (SIO-G-01)
}
