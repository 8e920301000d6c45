package engine

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// frame makes a WebSocket frame of a server.
func frame(first byte, payload string) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, payload...)
}

// stream is a conversation in which small, large, empty, binary and fragmented
// messages and control frames follow one another.
func stream(r *rand.Rand) (wire []byte, messages []string) {
	letters := func(n int) string { return strings.Repeat(string(rune('a'+r.IntN(26))), n) }
	for range 50 {
		size := []int{0, 1, 40, 125, 126, 1000, 16 << 10, 70_000}[min(r.IntN(30)%10, 7)]
		switch text := letters(size); r.IntN(6) {
		case 0:
			wire = append(append(append(wire, frame(0x01, "4"+text)...), frame(0x89, "ping")...), frame(0x80, "end")...)
			messages = append(messages, "4"+text+"end")
		case 1:
			wire = append(wire, frame(0x82, text)...)
			messages = append(messages, "\x00"+text)
		case 2:
			wire = append(wire, frame(0x8a, "pong")...)
		default:
			wire = append(wire, frame(0x81, "4"+text)...)
			messages = append(messages, "4"+text)
		}
	}
	return wire, messages
}

// rawServer accepts one WebSocket and writes wire behind the answer, in pieces of
// all sizes.
func rawServer(l net.Listener, r *rand.Rand, wire []byte) {
	conn, err := l.Accept()
	if err != nil {
		return
	}
	defer conn.Close()
	req, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	sum := sha1.Sum([]byte(req.Header.Get("Sec-Websocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	all := append([]byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+
		base64.StdEncoding.EncodeToString(sum[:])+"\r\n\r\n"), wire...)
	for len(all) > 0 {
		n := min(len(all), 1+r.IntN([]int{1, 10, 300, 5000, 20_000, 100_000}[r.IntN(6)]))
		if _, err := conn.Write(all[:n]); err != nil {
			return
		}
		all = all[n:]
	}
	_, _ = io.Copy(io.Discard, conn)
}

func testConn(u string, options *tls.Config) *Conn {
	address, _ := url.Parse(u)
	c := &Conn{done: make(chan struct{}), cfg: Config{
		URL: address, HTTP: http.DefaultClient, TLS: options, Logger: slog.New(slog.DiscardHandler),
		MaxMessage: 1 << 20, MaxQueue: 1 << 20, CloseTimeout: time.Second,
	}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// What is read in place and what gorilla reads make one conversation, wherever the
// network cuts it.
func TestInput(t *testing.T) {
	certified := httptest.NewTLSServer(nil)
	defer certified.Close()
	trust := certified.Client().Transport.(*http.Transport).TLSClientConfig
	for _, secure := range []bool{false, true} {
		for seed := range uint64(4) {
			r := rand.New(rand.NewPCG(seed, 1))
			wire, messages := stream(r)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			address := "http://" + l.Addr().String()
			options := (*tls.Config)(nil)
			if secure {
				address = "https://" + l.Addr().String()
				l = tls.NewListener(l, certified.TLS)
				options = trust
			}
			served := make(chan struct{})
			go func() { rawServer(l, r, wire); close(served) }()
			c := testConn(address, options)
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			ws, err := c.dialWebSocket(ctx)
			if err != nil {
				t.Fatal(err)
			}
			c.ws = ws
			for i, want := range messages {
				data, binary, _, err := ws.read(c.cfg.MaxMessage)
				got := string(data)
				if binary {
					got = "\x00" + got
				}
				if err != nil || got != want {
					t.Fatalf("secure %v, seed %d, message %d: %v, %.20q of %d bytes, want %.20q of %d", secure, seed, i, err, got, len(got), want, len(want))
				}
			}
			c.end(ReasonForcedClose, nil)
			c.wg.Wait()
			cancel()
			l.Close()
			<-served
		}
	}
}

// A connection that waits holds no buffer, and one that ends says so.
func TestInputEnds(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialed, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer dialed.Close()
	peer, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	var in input
	in.init(dialed, 0)
	in.framed()
	if _, err := peer.Write(append(frame(0x81, "4hello"), 0x81)); err != nil {
		t.Fatal(err)
	}
	data, _, plain, err := in.message(100)
	if string(data) != "4hello" || !plain || err != nil {
		t.Fatal(string(data), plain, err)
	}
	peer.Close()
	if _, _, _, err := in.message(100); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	if _, err := in.Read(make([]byte, 10)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
}

// Reading in place allocates nothing.
func TestInputAllocs(t *testing.T) {
	in := input{conn: &endless{data: bytes.Repeat(frame(0x81, "4"+strings.Repeat("x", 150)), 50)}, size: readBufferSize}
	if n := testing.AllocsPerRun(1000, func() {
		if _, _, plain, err := in.message(1000); !plain || err != nil {
			t.Fatal(plain, err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// endless repeats its data.
type endless struct {
	net.Conn
	data []byte
	from int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.data[e.from:])
	e.from = (e.from + n) % len(e.data)
	return n, nil
}
