package badinput

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// peer is a WebSocket client that sends whatever it is told.
type peer struct {
	t  testing.TB
	nc net.Conn
	br *bufio.Reader
}

// dial opens a TCP connection.
func (s *stack) dial(t testing.TB) net.Conn {
	t.Helper()
	nc, err := net.DialTimeout("tcp", s.addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(2 * patience))
	return nc
}

const upgradeHeaders = "Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"

// upgrade opens a WebSocket.
func (s *stack) upgrade(t testing.TB, query string, headers ...string) *peer {
	t.Helper()
	p := &peer{t: t, nc: s.dial(t)}
	p.raw([]byte("GET /socket.io/?EIO=4&transport=websocket" + query + " HTTP/1.1\r\n" + upgradeHeaders + strings.Join(headers, "") + "\r\n"))
	p.br = bufio.NewReaderSize(p.nc, 512)
	res, err := http.ReadResponse(p.br, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("upgrade: %s", res.Status)
	}
	return p
}

// session opens a session over WebSocket.
func (s *stack) session(t testing.TB) *peer {
	t.Helper()
	p := s.upgrade(t, "")
	if got := p.read(); !strings.HasPrefix(got, `0{"sid":"`) {
		t.Fatalf("no handshake: %q", got)
	}
	return p
}

// client opens a session and connects to the main namespace.
func (s *stack) client(t testing.TB) *peer {
	t.Helper()
	p := s.session(t)
	p.send("40")
	if got := p.read(); !strings.HasPrefix(got, `40{"sid":"`) {
		t.Fatalf("CONNECT: %q", got)
	}
	return p
}

// frame is a client's frame, masked with zeros.
func frame(first byte, payload string) []byte {
	f := []byte{first}
	switch n := len(payload); {
	case n < 126:
		f = append(f, 0x80|byte(n))
	case n < 1<<16:
		f = append(f, 0x80|126, byte(n>>8), byte(n))
	default:
		f = binary.BigEndian.AppendUint64(append(f, 0x80|127), uint64(n))
	}
	f = append(f, 0, 0, 0, 0)
	return append(f, payload...)
}

// First bytes of frames.
const (
	text   = 0x81
	bin    = 0x82
	ping   = 0x89
	pong   = 0x8a
	goaway = 0x88
	begin  = 0x01 // text without FIN
	more   = 0x00
	last   = 0x80
)

// encode returns the frame of a message; binary ones are written "bin:...".
func encode(message string) []byte {
	if data, ok := strings.CutPrefix(message, "bin:"); ok {
		return frame(bin, data)
	}
	return frame(text, message)
}

func (p *peer) try(message string) error {
	_ = p.nc.SetWriteDeadline(time.Now().Add(patience)) // the canary lives longer than dial grants
	_, err := p.nc.Write(encode(message))
	return err
}

// raw writes bytes.
func (p *peer) raw(b []byte) {
	p.t.Helper()
	if _, err := p.nc.Write(b); err != nil {
		p.t.Fatal(err)
	}
}

// send sends messages, in one write. The server may have closed meanwhile.
func (p *peer) send(messages ...string) {
	var b []byte
	for _, m := range messages {
		b = append(b, encode(m)...)
	}
	_, _ = p.nc.Write(b)
}

// pour writes in the background what the server may not take to the end.
func (p *peer) pour(b []byte, times int) (done <-chan struct{}) {
	c := make(chan struct{})
	go func() {
		defer close(c)
		for range times {
			if _, err := p.nc.Write(b); err != nil {
				return
			}
		}
	}()
	return c
}

// read returns the next message: text, "bin:..." or "close:CODE REASON" (1005
// without a status); "end" when there is no more.
func (p *peer) read() string {
	_ = p.nc.SetReadDeadline(time.Now().Add(patience))
	for {
		op, payload, err := p.frame()
		switch {
		case errors.Is(err, io.EOF), err != nil && strings.Contains(err.Error(), "reset by peer"):
			return "end"
		case err != nil:
			return "error: " + err.Error()
		case op == pong:
		case op == bin:
			return "bin:" + string(payload)
		case op == goaway && len(payload) < 2:
			return "close:1005"
		case op == goaway:
			return strings.TrimSpace(fmt.Sprintf("close:%d %s", binary.BigEndian.Uint16(payload), payload[2:]))
		default:
			return string(payload)
		}
	}
}

// frame reads one frame.
func (p *peer) frame() (op byte, payload []byte, err error) {
	var h [10]byte
	if _, err := io.ReadFull(p.br, h[:2]); err != nil {
		return 0, nil, err
	}
	n := uint64(h[1])
	switch n {
	case 126:
		_, err = io.ReadFull(p.br, h[2:4])
		n = uint64(binary.BigEndian.Uint16(h[2:]))
	case 127:
		_, err = io.ReadFull(p.br, h[2:10])
		n = binary.BigEndian.Uint64(h[2:])
	}
	if err != nil {
		return 0, nil, err
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(p.br, payload)
	return h[0], payload, err
}

// expect compares the next messages. Pings of the server are answered.
func (p *peer) expect(messages ...string) {
	p.t.Helper()
	for _, want := range messages {
		got := p.read()
		for ; got == "2"; got = p.read() {
			p.send("3")
		}
		if got != want {
			p.t.Fatalf("got %.300q, want %.300q", got, want)
		}
	}
}

// closed reads to the close frame, whose code must be the wanted one, and to the
// end of the connection. It returns the reason.
func (p *peer) closed(code int) (reason string) {
	p.t.Helper()
	got := p.read()
	for !strings.HasPrefix(got, "close:") {
		if got == "end" || strings.HasPrefix(got, "error:") {
			p.t.Fatalf("%s, want a close frame with %d", got, code)
		}
		got = p.read()
	}
	want := fmt.Sprint("close:", code)
	head, reason, _ := strings.Cut(got, " ")
	if head != want {
		p.t.Fatalf("got %q, want %q", got, want)
	}
	_, _ = p.nc.Write(frame(goaway, ""))
	if got := p.read(); got != "end" {
		p.t.Fatalf("after the close frame: %q", got)
	}
	p.close()
	return reason
}

// alive checks that the session goes on.
func (p *peer) alive() {
	p.t.Helper()
	p.send(`4299["echo","alive"]`)
	p.expect(`4399["alive"]`)
}

func (p *peer) close() { _ = p.nc.Close() }

// reset ends the connection with a TCP reset.
func reset(nc net.Conn) {
	_ = nc.(*net.TCPConn).SetLinger(0)
	_ = nc.Close()
}

// ask sends a request as it is and returns status and body of the answer.
func (s *stack) ask(t testing.TB, request string) (status int, body string, header http.Header) {
	t.Helper()
	nc := s.dial(t)
	defer nc.Close()
	go func() { _, _ = io.WriteString(nc, request) }() // it may not be read to the end
	return answer(t, bufio.NewReader(nc))
}

func answer(t testing.TB, br *bufio.Reader) (status int, body string, header http.Header) {
	t.Helper()
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		return 0, err.Error(), nil
	}
	if res.StatusCode == http.StatusSwitchingProtocols {
		return res.StatusCode, "", res.Header
	}
	if res.Close {
		res.Header.Set("Connection", "close")
	}
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return res.StatusCode, err.Error(), res.Header
	}
	return res.StatusCode, string(b), res.Header
}

// request is a request by the book, with a target and headers of the caller's.
func request(method, target string, headers ...string) string {
	return method + " " + target + " HTTP/1.1\r\nHost: x\r\n" + strings.Join(headers, "") + "\r\n"
}

// upgradeRequest asks for a WebSocket.
func upgradeRequest(query string, headers ...string) string {
	return "GET /socket.io/?" + query + " HTTP/1.1\r\n" + upgradeHeaders + strings.Join(headers, "") + "\r\n"
}

// poller is a client on polling.
type poller struct {
	t   testing.TB
	s   *stack
	sid string
	url string
}

// handshake opens a polling session.
func (s *stack) handshake(t testing.TB) *poller {
	t.Helper()
	p := &poller{t: t, s: s, url: s.listener.URL() + "/socket.io/?EIO=4&transport=polling"}
	got := p.get()
	rest, ok := strings.CutPrefix(got, `200 0{"sid":"`)
	if !ok {
		t.Fatalf("handshake: %.200s", got)
	}
	p.sid, _, _ = strings.Cut(rest, `"`)
	p.url += "&sid=" + p.sid
	return p
}

// polling opens a session and connects to the main namespace.
func (s *stack) polling(t testing.TB) *poller {
	t.Helper()
	p := s.handshake(t)
	p.ok("40")
	if got := p.get(); !strings.HasPrefix(got, `200 40{"sid":"`) {
		t.Fatalf("CONNECT: %.200s", got)
	}
	return p
}

// do makes a request of the session and returns status and body.
func (p *poller) do(method string, body io.Reader, headers ...string) string {
	req, err := http.NewRequest(method, p.url, body)
	if err != nil {
		return err.Error()
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := p.s.http.Do(req)
	if err != nil {
		return "error: " + err.Error()
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return "error: " + err.Error()
	}
	return fmt.Sprint(res.StatusCode, " ", string(b))
}

func (p *poller) get() string { return p.do("GET", nil) }

func (p *poller) post(body string, headers ...string) string {
	return p.do("POST", strings.NewReader(body), headers...)
}

// ok posts what must be taken.
func (p *poller) ok(body string) {
	p.t.Helper()
	if got := p.post(body); got != "200 ok" {
		p.t.Fatalf("POST: %.200s", got)
	}
}

const unknownSession = `400 {"code":1,"message":"Session ID unknown"}`

// closed polls until the session has ended.
func (p *poller) closed() {
	p.t.Helper()
	for range 1000 {
		got := p.get()
		if got == unknownSession {
			return
		}
		if !strings.HasPrefix(got, "200 ") {
			p.t.Fatalf("poll of an ending session: %.200s", got)
		}
		if got == "200 2" {
			p.t.Fatal("the session lives")
		}
	}
	p.t.Fatal("the session does not end")
}

// alive checks that the session goes on.
func (p *poller) alive() {
	p.t.Helper()
	p.ok(`4299["echo","alive"]`)
	if got := p.get(); !strings.HasSuffix(got, `4399["alive"]`) {
		p.t.Fatalf("poll: %.200s", got)
	}
}

func repeat(s string, n int, sep string) string {
	return strings.TrimSuffix(strings.Repeat(s+sep, n), sep)
}

// lines makes n header lines.
func lines(n int, line func(i int) string) string {
	var b bytes.Buffer
	for i := range n {
		b.WriteString(line(i))
	}
	return b.String()
}
