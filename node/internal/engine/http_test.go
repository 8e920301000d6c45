package engine

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// TestRefusals: engineio.md section 4, hardening.md rows B01 to B03.
func TestRefusals(t *testing.T) {
	ts := newTestServer(t, Config{}, echo)
	long := strings.Repeat("a", 4096)
	for _, c := range []struct{ method, query, want string }{
		{"GET", "EIO=4", `{"code":0,"message":"Transport unknown"}`},
		{"GET", "EIO=4&transport=tesla", `{"code":0,"message":"Transport unknown"}`},
		{"GET", "EIO=4&transport=__proto__", `{"code":0,"message":"Transport unknown"}`},
		{"GET", "EIO=4&transport=constructor", `{"code":0,"message":"Transport unknown"}`},
		{"GET", "EIO=4&transport=webtransport", `{"code":0,"message":"Transport unknown"}`},
		{"GET", "EIO=4&transport=", `{"code":0,"message":"Transport unknown"}`},
		{"GET", "EIO=4&transport=Polling", `{"code":0,"message":"Transport unknown"}`},
		{"GET", "EIO=4&transport=polling&sid=nope", `{"code":1,"message":"Session ID unknown"}`},
		{"GET", "EIO=4&transport=polling&sid=__proto__", `{"code":1,"message":"Session ID unknown"}`},
		{"GET", "EIO=4&transport=polling&sid=%00", `{"code":1,"message":"Session ID unknown"}`},
		{"GET", "EIO=4&transport=polling&sid=" + long, `{"code":1,"message":"Session ID unknown"}`},
		{"POST", "EIO=4&transport=polling&sid=toString", `{"code":1,"message":"Session ID unknown"}`},
		{"POST", "EIO=4&transport=polling", `{"code":2,"message":"Bad handshake method"}`},
		{"PUT", "EIO=4&transport=polling", `{"code":2,"message":"Bad handshake method"}`},
		{"DELETE", "EIO=4&transport=polling", `{"code":2,"message":"Bad handshake method"}`},
		{"OPTIONS", "EIO=4&transport=polling", `{"code":2,"message":"Bad handshake method"}`},
		{"GET", "EIO=4&transport=websocket", `{"code":3,"message":"Bad request"}`},
		{"GET", "EIO=4&transport=polling&j=1);alert(1)//", `{"code":3,"message":"Bad request"}`},
		{"GET", "EIO=4&transport=polling&%zz=1", `{"code":3,"message":"Bad request"}`},
		{"GET", "transport=polling", `{"code":5,"message":"Unsupported protocol version"}`},
		{"GET", "EIO=3&transport=polling", `{"code":5,"message":"Unsupported protocol version"}`},
		{"GET", "EIO=99&transport=polling", `{"code":5,"message":"Unsupported protocol version"}`},
		{"GET", "EIO=3&EIO=4&transport=polling", `{"code":5,"message":"Unsupported protocol version"}`},
		{"GET", "EIO=abc&transport=polling", `{"code":5,"message":"Unsupported protocol version"}`},
	} {
		if status, body := ts.do(t, c.method, c.query, ""); status != 400 || body != c.want {
			t.Errorf("%s %.60s: %d %s, want 400 %s", c.method, c.query, status, body, c.want)
		}
	}
	if n := ts.Count(); n != 0 {
		t.Errorf("%d sessions", n)
	}
}

// upgradeAnswer makes a raw upgrade request and returns the answer.
func (ts *testServer) upgradeAnswer(t *testing.T, query string, headers ...string) (int, string) {
	t.Helper()
	c, err := net.Dial("tcp", ts.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience()))
	h := []string{"Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="}
	for i := range h {
		for _, o := range headers {
			if strings.HasPrefix(o, strings.SplitN(h[i], ":", 2)[0]+":") {
				h[i] = o
			}
		}
	}
	for _, o := range headers {
		if strings.HasPrefix(o, "Origin") {
			h = append(h, o)
		}
	}
	fmt.Fprintf(c, "GET /socket.io/?%s HTTP/1.1\r\nHost: example\r\n%s\r\n\r\n", query, strings.Join(h, "\r\n"))
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode == http.StatusSwitchingProtocols {
		return res.StatusCode, ""
	}
	b, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(b)
}

// TestRefusedUpgrades: EIO-E-06, EIO-E-11, rows B04 and B05.
func TestRefusedUpgrades(t *testing.T) {
	ts := newTestServer(t, Config{AllowRequest: func(r *http.Request) error {
		if r.URL.Query().Has("evil") {
			return errors.New("no <b>evil</b>")
		}
		return nil
	}}, echo)
	for _, c := range []struct {
		query  string
		header string
		want   string
	}{
		{"EIO=4&transport=websocket&sid=nope", "", "Session ID unknown"},
		{"EIO=4&transport=websocket&sid=__proto__", "", "Session ID unknown"},
		{"EIO=4&transport=polling", "", "Bad request"},
		{"EIO=4&transport=__proto__", "", "Transport unknown"},
		{"EIO=3&transport=websocket", "", "Unsupported protocol version"},
		{"EIO=4&transport=websocket&evil=1", "", "no &lt;b&gt;evil&lt;/b&gt;"},
		{"EIO=4&transport=websocket", "Sec-WebSocket-Version: 12", "Missing or invalid Sec-WebSocket-Version header"},
		{"EIO=4&transport=websocket", "Sec-WebSocket-Key: abc", "Missing or invalid Sec-WebSocket-Key header"},
		{"EIO=4&transport=websocket", "Origin: http://evil.example", "Forbidden"},
	} {
		if status, body := ts.upgradeAnswer(t, c.query, c.header); status != 400 || body != c.want {
			t.Errorf("%s %s: %d %q, want 400 %q", c.query, c.header, status, body, c.want)
		}
	}
	if status, body := ts.do(t, "GET", "EIO=4&transport=polling&evil=1", ""); status != 403 || body != `{"code":4,"message":"no \u003cb\u003eevil\u003c/b\u003e"}` {
		t.Errorf("%d %s", status, body)
	}
	if n := ts.Count(); n != 0 {
		t.Errorf("%d sessions", n)
	}
}

// TestOrigins: HRD-13, EIO-X-05.
func TestOrigins(t *testing.T) {
	for _, c := range []struct {
		name   string
		cors   CORS
		origin string
		status int
		allow  string
		vary   string
	}{
		{"none", CORS{}, "", 200, "", ""},
		{"same", CORS{}, "SAME", 200, "", ""},
		{"foreign", CORS{}, "http://evil.example", 403, "", ""},
		{"null", CORS{}, "null", 403, "", ""},
		{"listed", CORS{Origins: []string{"http://a.example"}}, "http://a.example", 200, "http://a.example", "Origin"},
		{"not listed", CORS{Origins: []string{"http://a.example"}}, "http://b.example", 403, "", "Origin"},
		{"all", CORS{Origins: []string{"*"}}, "http://b.example", 200, "*", ""},
		{"function", CORS{AllowOrigin: func(_ *http.Request, o string) bool { return o == "x:y" }}, "x:y", 200, "x:y", "Origin"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ts := newTestServer(t, Config{CORS: c.cors}, echo)
			req, _ := http.NewRequest("GET", ts.http.URL+"/socket.io/?EIO=4&transport=polling", nil)
			if c.origin == "SAME" {
				c.origin = ts.http.URL
			}
			if c.origin != "" {
				req.Header.Set("Origin", c.origin)
			}
			res, err := ts.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != c.status || res.Header.Get("Access-Control-Allow-Origin") != c.allow || res.Header.Get("Vary") != c.vary {
				t.Errorf("%d %v", res.StatusCode, res.Header)
			}
		})
	}
	if _, err := NewServer(Config{NewID: testID, CORS: CORS{Origins: []string{"*"}, Credentials: true}}, nil); err == nil {
		t.Error("any origin with credentials was accepted")
	}
}

func TestPreflight(t *testing.T) {
	ts := newTestServer(t, Config{CORS: CORS{Origins: []string{"http://a.example"}, Credentials: true, MaxAge: 10 * time.Minute}}, echo)
	req, _ := http.NewRequest("OPTIONS", ts.http.URL+"/socket.io/?EIO=4&transport=polling", nil)
	req.Header.Set("Origin", "http://a.example")
	req.Header.Set("Access-Control-Request-Headers", "content-type,x-foo")
	res, err := ts.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	for k, v := range map[string]string{
		"Access-Control-Allow-Origin":      "http://a.example",
		"Access-Control-Allow-Credentials": "true",
		"Access-Control-Allow-Methods":     "GET,HEAD,PUT,PATCH,POST,DELETE",
		"Access-Control-Allow-Headers":     "content-type,x-foo",
		"Access-Control-Max-Age":           "600",
	} {
		if res.Header.Get(k) != v {
			t.Errorf("%s: %q, want %q", k, res.Header.Get(k), v)
		}
	}
	if res.StatusCode != 204 {
		t.Errorf("status %d", res.StatusCode)
	}
}

// TestHandshakeResponse: EIO-H-06, EIO-P-06, EIO-X-10.
func TestHandshakeResponse(t *testing.T) {
	ts := newTestServer(t, Config{NewID: func() string { return "S" }, Cookie: &http.Cookie{Name: "io", Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}}, echo)
	res, err := ts.client.Get(ts.http.URL + "/socket.io/?EIO=4&transport=polling")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	expect(t, string(b), `0{"sid":"S","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`)
	for k, v := range map[string]string{
		"Content-Type":   "text/plain; charset=UTF-8",
		"Cache-Control":  "no-store",
		"Content-Length": fmt.Sprint(len(b)),
		"Set-Cookie":     "io=S; Path=/; HttpOnly; SameSite=Lax",
	} {
		if res.Header.Get(k) != v {
			t.Errorf("%s: %q, want %q", k, res.Header.Get(k), v)
		}
	}
}

// TestCompression: EIO-Z-01, -02, -03.
func TestCompression(t *testing.T) {
	ts := newTestServer(t, Config{}, nil)
	for _, c := range []struct {
		accept   string
		size     int
		compress bool
		encoding string
	}{
		{"gzip", 1023, true, "gzip"}, // with the type it is 1024
		{"gzip", 1022, true, ""},
		{"gzip", 5000, false, ""},
		{"gzip, deflate", 5000, true, "gzip"},
		{"deflate", 5000, true, "deflate"},
		{"gzip;q=0.1, deflate;q=0.9", 5000, true, "deflate"},
		{"*", 5000, true, "gzip"},
		{"gzip;q=0", 5000, true, ""},
		{"br", 5000, true, ""},
		{"identity", 5000, true, ""},
	} {
		q := ts.handshake(t, "")
		want := "4" + strings.Repeat("x", c.size)
		ts.session(t).s.Send(NewPacket([]byte(want[1:]), false, nil, c.compress), false)
		req, _ := http.NewRequest("GET", ts.http.URL+"/socket.io/?"+q, nil)
		req.Header.Set("Accept-Encoding", c.accept)
		res, err := ts.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var r io.Reader = res.Body
		switch c.encoding {
		case "gzip":
			r, err = gzip.NewReader(res.Body)
		case "deflate":
			r, err = zlib.NewReader(res.Body)
		}
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(r)
		res.Body.Close()
		if got := res.Header.Get("Content-Encoding"); got != c.encoding || string(b) != want {
			t.Errorf("%s, %d bytes: %q, %d bytes", c.accept, c.size, got, len(b))
		}
	}
}

// TestPostBodies: EIO-P-07, -08, -10, -15, HRD-23.
func TestPostBodies(t *testing.T) {
	ts := newTestServer(t, Config{MaxPayload: 1000}, echo)
	for _, c := range []struct {
		name, contentType, body string
		status                  int
		alive                   bool
	}{
		{"text", "text/plain;charset=UTF-8", "4a", 200, true},
		{"no type", "", "4a", 200, true},
		{"JSON", "application/json", "4a", 200, true},
		{"odd octet-stream", "application/octet-stream; charset=x", "4a", 200, true},
		{"octet-stream", "application/octet-stream", "4a", 400, false},
		{"multipart", "multipart/form-data; boundary=x", "4a", 415, true},
		{"at the limit", "", "4" + strings.Repeat("x", 999), 200, true},
		{"over the limit", "", "4" + strings.Repeat("x", 1000), 413, true},
		{"empty", "", "", 200, false},
		{"unknown type", "", "9x", 200, false},
		{"separators", "", "\x1e\x1e\x1e", 200, false},
		{"bad UTF-8", "", "4\xff\xfe", 200, false},
		{"ping of the client", "", "2", 200, false},
		{"noop, open, upgrade", "", "6\x1e0{}\x1e5", 200, true},
		{"pong", "", "3", 200, true},
		{"too many packets", "", strings.Repeat("6\x1e", 10), 200, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := ts.handshake(t, "")
			headers := []string{}
			if c.contentType != "" {
				headers = append(headers, "Content-Type", c.contentType)
			}
			status, body := ts.do(t, "POST", q, c.body, headers...)
			if status != c.status || status == 200 && body != "ok" {
				t.Errorf("%d %q, want %d", status, body, c.status)
			}
			status, body = ts.do(t, "POST", q, "4b")
			if alive := status == 200; alive != c.alive {
				t.Errorf("after it: %d %q", status, body)
			}
			if !c.alive && body != `{"code":1,"message":"Session ID unknown"}` {
				t.Errorf("after it: %q", body)
			}
		})
	}
}

func TestManyPacketsInAPayload(t *testing.T) {
	ts := newTestServer(t, Config{}, nil)
	q := ts.handshake(t, "")
	ts.do(t, "POST", q, strings.Repeat("6\x1e", 9999)+"6")
	if status, _ := ts.do(t, "POST", q, "6"); status != 200 {
		t.Errorf("closed at the limit: %d", status)
	}
	ts.do(t, "POST", q, strings.Repeat("6\x1e", 10_000)+"6") // HRD-21
	if status, _ := ts.do(t, "POST", q, "6"); status != 400 {
		t.Errorf("alive over the limit: %d", status)
	}
}

// What stands before a bad packet, or before a close, is handled (EIO-M-04,
// EIO-P-17).
func TestPacketsBeforeABadOne(t *testing.T) {
	ts := newTestServer(t, Config{}, nil)
	for _, c := range []struct{ body, reason string }{
		{"4good\x1e9bad\x1e4late", ReasonParseError},
		{"4good\x1e1\x1e4late", ReasonTransportClose},
		{"4good\x1e2\x1e4late", ReasonTransportError},
	} {
		q := ts.handshake(t, "")
		r := ts.session(t)
		if status, body := ts.do(t, "POST", q, c.body); status != 200 || body != "ok" {
			t.Errorf("%d %q", status, body)
		}
		expect(t, r.waitClosed(t), c.reason)
		expect(t, fmt.Sprint(r.received()), "[good]")
	}
}

// pollInBackground starts a GET and returns its answer to come. It returns when
// the poll is pending.
func (ts *testServer) pollInBackground(t *testing.T, q string, r *recorder) <-chan string {
	t.Helper()
	answer := make(chan string, 1)
	go func() {
		status, body := ts.do(t, "GET", q, "")
		answer <- fmt.Sprint(status, " ", body)
	}()
	waitFor(t, r.s.Writable)
	return answer
}

// TestOverlaps: EIO-P-12, -13, HRD-20.
func TestOverlappingPolls(t *testing.T) {
	ts := newTestServer(t, Config{}, nil)
	q := ts.handshake(t, "")
	r := ts.session(t)
	first := ts.pollInBackground(t, q, r)
	if status, body := ts.do(t, "GET", q, ""); status != 400 || body != "" {
		t.Errorf("second poll: %d %q", status, body)
	}
	expect(t, <-first, "200 1")
	expect(t, r.waitClosed(t), ReasonTransportError)
}

func TestOverlappingPosts(t *testing.T) {
	ts := newTestServer(t, Config{}, nil)
	q := ts.handshake(t, "")
	r := ts.session(t)
	poll := ts.pollInBackground(t, q, r)
	c, err := net.Dial("tcp", ts.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "POST /socket.io/?%s HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n4a", q)
	waitFor(t, func() bool {
		r.s.mu.Lock()
		defer r.s.mu.Unlock()
		return r.s.polling.post != nil && r.s.polling.post.reading
	})
	if status, body := ts.do(t, "POST", q, "4b"); status != 400 || body != "" {
		t.Errorf("second POST: %d %q", status, body)
	}
	expect(t, <-poll, "200 1")
	expect(t, r.waitClosed(t), ReasonTransportError)
	_ = c.SetReadDeadline(time.Now().Add(patience()))
	if b, err := io.ReadAll(c); len(b) > 0 || errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("the first POST got %q, %v", b, err)
	}
}

// A poll that its client cuts ends the session at once (EIO-P-14, HRD-22).
func TestCutPoll(t *testing.T) {
	ts := newTestServer(t, Config{}, nil)
	q := ts.handshake(t, "")
	r := ts.session(t)
	c, err := net.Dial("tcp", ts.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(c, "GET /socket.io/?%s HTTP/1.1\r\nHost: x\r\n\r\n", q)
	waitFor(t, r.s.Writable)
	c.Close()
	expect(t, r.waitClosed(t), ReasonTransportError)
}

func TestCutPost(t *testing.T) {
	ts := newTestServer(t, Config{}, nil)
	q := ts.handshake(t, "")
	r := ts.session(t)
	c, err := net.Dial("tcp", ts.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(c, "POST /socket.io/?%s HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n4a", q)
	c.Close()
	expect(t, r.waitClosed(t), ReasonTransportError)
	expect(t, fmt.Sprint(r.received()), "[]")
}

// TestGracefulClose: EIO-C-06, -10.
func TestGracefulCloseOfPolling(t *testing.T) {
	ts := newTestServer(t, Config{}, nil)

	q := ts.handshake(t, "")
	r := ts.session(t)
	poll := ts.pollInBackground(t, q, r)
	r.s.Close(Close{})
	expect(t, <-poll, "200 1")
	expect(t, r.waitClosed(t), ReasonForcedClose)

	q = ts.handshake(t, "")
	r = ts.session(t)
	r.s.Close(Close{})
	_, body := ts.do(t, "GET", q, "")
	expect(t, body, "6\x1e1")
	expect(t, r.waitClosed(t), ReasonForcedClose)

	q = ts.handshake(t, "")
	r = ts.session(t)
	r.s.Send(NewPacket([]byte("rest"), false, nil, true), false)
	r.s.Close(Close{})
	if r.s.Send(NewPacket([]byte("late"), false, nil, true), false) {
		t.Error("took a packet while closing")
	}
	if status, body := ts.do(t, "POST", q, "4thrown away"); status != 200 || body != "ok" {
		t.Errorf("%d %q", status, body)
	}
	_, body = ts.do(t, "GET", q, "")
	expect(t, body, "4rest")
	_, body = ts.do(t, "GET", q, "")
	expect(t, body, "6\x1e1")
	expect(t, r.waitClosed(t), ReasonForcedClose)
	expect(t, fmt.Sprint(r.received()), "[]")
}

func TestDiscardingClose(t *testing.T) {
	ts := newTestServer(t, Config{}, nil)
	q := ts.handshake(t, "")
	r := ts.session(t)
	r.s.Send(NewPacket([]byte("lost"), false, nil, true), false)
	r.s.Close(Close{Reason: ReasonServerShutdown, Discard: true})
	expect(t, r.waitClosed(t), ReasonServerShutdown)
	if _, body := ts.do(t, "GET", q, ""); body != `{"code":1,"message":"Session ID unknown"}` {
		t.Errorf("%q", body)
	}
}

func TestOtherMethodsLeaveTheSessionAlone(t *testing.T) {
	ts := newTestServer(t, Config{}, nil)
	q := ts.handshake(t, "")
	if status, body := ts.do(t, "PUT", q, "x"); status != 500 || body != "" { // EIO-E-08
		t.Errorf("%d %q", status, body)
	}
	if status, _ := ts.do(t, "POST", q, "4a"); status != 200 {
		t.Error("the session is gone")
	}
	if _, body := ts.do(t, "POST", strings.Replace(q, "EIO=4", "EIO=3", 1), "4a"); body != `{"code":3,"message":"Bad request"}` {
		t.Errorf("other revision: %q", body)
	}
}

// TestAdmission: HRD-14, -15.
func TestAdmission(t *testing.T) {
	ts := newTestServer(t, Config{MaxPending: 2}, nil)
	q := ts.handshake(t, "")
	first := ts.session(t)
	ts.handshake(t, "")
	res, err := ts.client.Get(ts.http.URL + "/socket.io/?EIO=4&transport=polling")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	first.s.Admit()
	ts.handshake(t, "")
	ts.do(t, "POST", q, "1")
	first.waitClosed(t)
	if n := ts.Stats().Pending; n != 2 {
		t.Errorf("%d pending", n)
	}
}

func TestBinaryAsText(t *testing.T) {
	ts := newTestServer(t, Config{}, echo)
	c := ts.dial(t, "EIO=4&transport=websocket&b64=1")
	read(t, c)
	if err := c.WriteMessage(websocket.BinaryMessage, []byte{1, 2}); err != nil {
		t.Fatal(err)
	}
	expect(t, read(t, c), "bAQI=") // EIO-W-13
	write(t, c, "bAQI=")
	expect(t, read(t, c), "bAQI=")
}

// TestProtocol3: engineio.md section 14.
func TestProtocol3(t *testing.T) {
	ts := newTestServer(t, Config{AllowEIO3: true, NewID: func() string { return "S" }}, echo)
	_, body := ts.do(t, "GET", "EIO=3&transport=polling", "")
	expect(t, body, `99:0{"sid":"S","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`)
	r := ts.session(t)
	q := "EIO=3&transport=polling&sid=S"
	for _, c := range []struct{ post, contentType, want string }{
		{"1:2", "", "1:3"},
		{"2:2x", "", "1:3"}, // data of a ping is not echoed
		{"4:4hé\u00fc", "", "4:4hé\u00fc"},
		{"\x00\x03\xff4hi", "application/octet-stream", "3:4hi"},
		{"\x01\x04\xff\x04\x01\x02\x03", "application/octet-stream", "\x01\x04\xff\x04\x01\x02\x03"},
	} {
		headers := []string{}
		if c.contentType != "" {
			headers = []string{"Content-Type", c.contentType}
		}
		if status, body := ts.do(t, "POST", q, c.post, headers...); status != 200 || body != "ok" {
			t.Fatalf("%q: %d %q", c.post, status, body)
		}
		_, body = ts.do(t, "GET", q, "")
		expect(t, body, c.want)
	}
	ts.do(t, "POST", q, "1:3")
	expect(t, r.waitClosed(t), ReasonTransportError) // EIO-3-09

	c := ts.dial(t, "EIO=3&transport=websocket")
	read(t, c)
	write(t, c, "2")
	expect(t, read(t, c), "3")
	if err := c.WriteMessage(websocket.BinaryMessage, []byte{4, 1, 2}); err != nil {
		t.Fatal(err)
	}
	expect(t, read(t, c), "bin:\x04\x01\x02")
}

func TestDeflate(t *testing.T) {
	ts := newTestServer(t, Config{PerMessageDeflate: true}, echo)
	d := websocket.Dialer{EnableCompression: true}
	c, _, err := d.Dial("ws"+strings.TrimPrefix(ts.http.URL, "http")+"/socket.io/?EIO=4&transport=websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	read(t, c)
	for _, n := range []int{10, 5000, 200_000} {
		want := "4" + strings.Repeat("ab", n/2)
		write(t, c, want)
		expect(t, read(t, c), want)
	}
	if err := c.WriteMessage(websocket.BinaryMessage, bytes.Repeat([]byte{7}, 3000)); err != nil {
		t.Fatal(err)
	}
	expect(t, read(t, c), "bin:"+strings.Repeat("\x07", 3000))
	if out := ts.Stats().BytesOut; out > 20_000 {
		t.Errorf("%d bytes written", out)
	}
	// What inflates to more than the limit is refused without being held (HRD-32).
	write(t, c, strings.Repeat("a", 1_000_001))
	expect(t, read(t, c), "close:1009")
}
