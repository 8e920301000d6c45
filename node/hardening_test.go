package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/fanwire/fanwire/protocol/socketio"
)

// Rows B30 to B36 of hardening.md: what comes after a CONNECT, over a real
// connection. Each of these closes the session that sent it, no other.
func TestBadPackets(t *testing.T) {
	srv := newServer(t, Config{})
	Handle(srv, "msg", func(_ context.Context, _ *Socket, a Args) (Args, error) { return a, nil })
	withSync(srv)
	canary, _ := srv.join(t, "/")
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	rows := map[string][]string{
		"B30": {
			`49`, `47[]`, `42`, `42{}`, `42[]`, `42[null]`, `42[{}]`, `42[["x"]]`, `42["a"`, `42null`, `4abc`, `42[true]`, `42"x"`,
			`42["connect"]`, `42["connect_error"]`, `42["disconnect"]`, `42["disconnecting"]`, `42["newListener"]`, `42["removeListener"]`,
		},
		"B32": {
			`40`, `44{"message":"x"}`, `42/zz,["msg",1]`, `41{}`, `43-1["x"]`, `431e3["x"]`, `431[`, `431{}`, `43` + strings.Repeat("9", 400) + `["x"]`,
			`42` + strings.Repeat("9", 400) + `["echo",1]`, `4218446744073709551616["echo",1]`, `429007199254740992["echo",1]`,
		},
		"B33": {
			`45-["m"]`, `450-`, `45-1-`, `451e9-`, `4599999999999999999999-`, `45 1-`, `451.5-`, `450x10-`, `45100000-`, `45` + strings.Repeat("1", 100_000),
			`451-{"_placeholder":true,"num":0}`, `451-[{"_placeholder":true,"num":0}]`,
		},
		"B35": {
			`42["msg",` + strings.Repeat("[", 400_000), `42["msg",` + deep(128) + `]`, `42["msg",` + strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000) + `]`,
		},
		"B36": {
			"42[\"msg\",\"a\x00\"]", "42[\"msg\",\"\\x\"]", "42[\"msg\",\"a\nb\"]", "42\xef\xbb\xbf[\"msg\"]", `42["msg",01]`, `42["msg",.5]`, `42["msg",1]]`, `42["msg",1],`,
			`40/a,[]`, `40/a,"x"`, `40/a,{bad`, `40/a,{"t":"` + strings.Repeat("x", 900_000) + `"}`,
		},
	}
	for row, inputs := range rows {
		for _, in := range inputs {
			p, _ := srv.join(t, "/")
			p.send(in)
			if code := p.closed(); code != 1005 {
				t.Errorf("%s %.60q: close code %d", row, in, code)
			}
		}
	}
	for _, num := range []string{`"splice"`, `-1`, `1e9`, `0.5`, `{}`, `null`, `"0"`, `[0]`, `true`, `1`} {
		p, _ := srv.join(t, "/")
		p.send(`451-["msg",{"_placeholder":true,"num":`+num+`}]`, "bin:x")
		if code := p.closed(); code != 1005 {
			t.Errorf("B33 num %s: close code %d", num, code)
		}
	}
	canary.sync("/")
}

// What looks bad and is plain data (B30, B31, B35, B36): relayed byte for byte.
func TestOddData(t *testing.T) {
	srv := newServer(t, Config{})
	Handle(srv, "msg", func(_ context.Context, _ *Socket, a Args) (Args, error) { return a, nil })
	var unhandled atomic.Int32
	srv.OnAny(func(_ context.Context, _ *Socket, event string, _ Args) {
		if event != "msg" {
			unhandled.Add(1)
		}
	})
	p, _ := srv.join(t, "/")
	for _, data := range []string{
		`{"__proto__":{"polluted":1}}`, `1e400`, strings.Repeat("9", 900_000), `-0`, `1E+999999`, `"\ud800"`, "\"\u2028\"",
		strings.Repeat("[", 127) + strings.Repeat("]", 127), `{` + strings.Repeat(`"k":1,`, 140_000) + `"k":1}`, "[" + strings.Repeat("1,", 450_000) + "1]",
	} {
		p.send(`421["msg",` + data + `]`)
		if got := p.read(); got != `431[`+data+`]` {
			t.Errorf("%.60q came back as %.60q", data, got)
		}
	}
	for _, name := range []string{"error", "__proto__", "constructor", "hasOwnProperty", "toString", "valueOf"} {
		p.send(`42["` + name + `",1]`)
	}
	p.send(`421["msg"]`)
	p.expect(`431[]`)
	if n := unhandled.Load(); n != 6 {
		t.Error(n)
	}
	q := srv.dial(t)
	q.connect("/", `{"pid":"forged","offset":"forged"}`) // an ordinary connection
}

// B37: names and numbers of namespaces.
func TestNamespaceFlood(t *testing.T) {
	srv := newServer(t, Config{})
	srv.OfPattern("/dyn/{id}")
	withSync(srv)
	for _, in := range []string{`40/` + strings.Repeat("a", 900_000) + `,`, "40/a\x00,", `40a,`} {
		p := srv.dial(t)
		p.send(in)
		p.closed()
	}
	for _, ns := range []string{"/a?x=1", "//"} {
		p := srv.dial(t)
		p.send("40" + ns + ",")
		p.expect("44" + ns + `,{"message":"Invalid namespace"}`)
	}
	p := srv.dial(t)
	for i := range 500 {
		p.send(fmt.Sprintf("40/dyn/%d,", i))
	}
	p.closed()
	eventually(t, "freed", func() bool { return len(srv.Namespaces()) == 1 })
	if st := srv.Stats(); st.Connected > 32 {
		t.Errorf("%d namespaces joined", st.Connected)
	}
}

// B38: joins, acks and events without an end.
func TestFloods(t *testing.T) {
	srv := newServer(t, Config{})
	Handle(srv, "join", func(ctx context.Context, s *Socket, from int) (bool, error) {
		for i := range 1000 {
			if err := s.Join(ctx, fmt.Sprint(from+i)); err != nil {
				return errors.Is(err, ErrTooManyRooms), nil
			}
		}
		return false, nil
	})
	withSync(srv)
	p, id := srv.join(t, "/")
	for i := range 15 {
		p.send(fmt.Sprintf(`421["join",%d]`, i*1000))
		p.expect(fmt.Sprintf(`431[%v]`, i >= 10))
	}
	s, _ := srv.Socket(id)
	if n := len(s.Rooms()); n != 10_001 {
		t.Errorf("in %d rooms", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	results := make(chan error, 2000)
	for range 1100 {
		go func() {
			_, err := Call[int](ctx, s, "q")
			results <- err
		}()
	}
	for range 100 {
		if err := recv(t, results); !errors.Is(err, ErrTooManyCalls) {
			t.Error(err)
		}
	}
	cancel()
	for range 1000 {
		if err := recv(t, results); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	for range 1000 {
		p.read()
	}
	for range 20_000 {
		p.send(`42["nope"]`)
	}
	p.sync("/")
	if n := srv.Stats().EventsUnhandled; n != 20_000 {
		t.Error(n)
	}
}

// HRD-01: a handler that panics for 1,000 clients at a time.
func TestPanicFlood(t *testing.T) {
	const clients = 1000
	srv := newPlainServer(t, Config{})
	On(srv, "boom", func(context.Context, *Socket, None) error { panic("boom") })
	canary := srv.open()
	canary.receive("0")
	sessions := make([]*fakeSession, clients)
	var wg sync.WaitGroup
	for i := range sessions {
		f := srv.open()
		sessions[i] = f
		wg.Go(func() {
			f.receive("0")
			f.receive(`2["boom"]`)
		})
	}
	wg.Wait()
	eventually(t, "1,000 disconnects", func() bool { return srv.Stats().Disconnected == clients })
	for i, f := range sessions {
		f.mu.Lock()
		if f.closed == nil || f.closed.Code != 1011 {
			t.Errorf("session %d: closed %+v", i, f.closed)
		}
		f.mu.Unlock()
	}
	if n := srv.Stats().Panics["event"]; n != clients {
		t.Errorf("%d panics counted", n)
	}
	if srv.Len() != 1 || canary.closed != nil {
		t.Error("the panics of others have ended the canary")
	}
}

// brokenParser makes decoders that panic.
type brokenParser struct{ socketio.Parser }

func (p brokenParser) NewDecoder(l socketio.Limits) socketio.Decoder {
	return brokenDecoder{p.Parser.NewDecoder(l)}
}

type brokenDecoder struct{ socketio.Decoder }

func (brokenDecoder) Decode([]byte, bool, *socketio.Packet) (bool, error) { panic("broken") }

// What panics outside of handlers is stopped by the engine, and counted (HRD-01).
func TestEnginePanicsAreCounted(t *testing.T) {
	srv := newServer(t, Config{Parser: brokenParser{socketio.Text}})
	if _, ok := srv.Stats().Panics["engine"]; ok {
		t.Error("counted before it happened")
	}
	p := srv.dial(t)
	p.send("40")
	if code := p.closed(); code != 1011 {
		t.Errorf("close code %d", code)
	}
	eventually(t, "counted", func() bool { return srv.Stats().Panics["engine"] == 1 })
}

// HRD-12: who knows one of a connection's ids knows nothing of the others.
func TestIDsShareNothing(t *testing.T) {
	srv := newServer(t, Config{})
	for range 20 {
		_, public := srv.join(t, "/")
		s, ok := srv.Socket(public)
		if !ok {
			t.Fatal("no socket", public)
		}
		sid := s.client.sess.ID()
		if len(sid) < 27 || len(public) != 20 {
			t.Errorf("ids of %d and %d characters", len(sid), len(public))
		}
		for i := range len(public) - 7 {
			if strings.Contains(sid, public[i:i+8]) {
				t.Errorf("%s and %s share %s", sid, public, public[i:i+8])
			}
		}
	}
}

// HRD-12: no id comes twice.
func TestIDsDoNotRepeat(t *testing.T) {
	n := 1_000_000
	if testing.Short() || raceEnabled {
		n = 200_000
	}
	tag, sessionID := newTag(), sessionIDs("node")
	publics, sids := make(map[[20]byte]struct{}, n), make(map[[32]byte]struct{}, n)
	for range n {
		publics[[20]byte([]byte(publicID(tag)))] = struct{}{}
		sids[[32]byte([]byte(sessionID()))] = struct{}{}
	}
	if len(publics) != n || len(sids) != n {
		t.Errorf("%d public ids and %d session ids of %d are different", len(publics), len(sids), n)
	}
}

// HRD-39: a client that speaks the moment it may is always heard.
func TestFastClients(t *testing.T) {
	srv := newServer(t, Config{})
	Handle(srv, "echo", func(_ context.Context, _ *Socket, n int) (int, error) { return n, nil })
	n := 2000
	if testing.Short() || raceEnabled {
		n = 500
	}
	for i := range n {
		srv.hurry(t, i)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for i := range n {
		srv.hurry(t, i)
	}
}

// hurry connects, joins, has a number echoed and goes, as fast as it can.
func (ts *testServer) hurry(t *testing.T, n int) {
	url := "ws" + strings.TrimPrefix(ts.http.URL, "http") + "/socket.io/?EIO=4&transport=websocket"
	ws, _, err := websocket.DefaultDialer.Dial(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	_ = ws.NetConn().(*net.TCPConn).SetLinger(0) // frees the port at once
	p := &peer{t: t, ws: ws}
	if open := p.read(); !strings.HasPrefix(open, "0{") {
		t.Fatalf("connection %d: %q", n, open)
	}
	p.send("40", fmt.Sprintf(`421["echo",%d]`, n))
	p.connected("/")
	p.expect(fmt.Sprintf("431[%d]", n))
}
