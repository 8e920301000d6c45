package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fanwire/fanwire/protocol/msgpack"
)

// What every server must do alike: the official one, as in testdata, and ours.

// mode is a way to talk to a server.
type mode struct {
	name, server string
	options      Options
	transport    string // in the end
}

var modes = []mode{
	{"polling", "text", Options{Transports: []string{Polling}}, Polling},
	{"websocket", "text", Options{Transports: []string{WebSocket}}, WebSocket},
	{"upgrade", "text", Options{}, WebSocket},
	{"deflate", "deflate", Options{Transports: []string{WebSocket}, PerMessageDeflate: true}, WebSocket},
	{"msgpack polling", "msgpack", Options{Transports: []string{Polling}, Parser: msgpack.Parser}, Polling},
	{"msgpack websocket", "msgpack", Options{Transports: []string{WebSocket}, Parser: msgpack.Parser}, WebSocket},
	{"msgpack upgrade", "msgpack", Options{Parser: msgpack.Parser}, WebSocket},
}

// dialPeer connects to one of the servers.
func dialPeer(t *testing.T, address string, m mode) (*Socket, *recorder) {
	t.Helper()
	m.options = fast(m.options)
	m.options.Auth = map[string]any{"token": "t"}
	m.options.Header = http.Header{"X-Test": {"h"}}
	m.options.Query = url.Values{"q": {"ü"}}
	var rec *recorder
	s, err := Dial(testContext(t), address, m.options, func(s *Socket) {
		rec = record(s)
		Handle(s, "question", func(_ context.Context, a Args) (Args, error) { return a, nil })
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, rec
}

func checkAll(t *testing.T, s *Socket, rec *recorder, m mode) {
	checkHello(t, rec)
	checkEcho(t, s, rec)
	checkBinary(t, s)
	checkRooms(t, s, rec)
	checkBurst(t, s, rec)
	checkNamespaces(t, s)
	checkTransport(t, s, m)
}

func checkHello(t *testing.T, rec *recorder) {
	hello := recv(t, rec.events)
	for _, want := range []string{`{"token":"t"}`, `"q":"ü"`, `"EIO":"4"`, `"h",false]`} {
		if !strings.Contains(hello, want) {
			t.Errorf("%s in %s", want, hello)
		}
	}
}

func checkEcho(t *testing.T, s *Socket, rec *recorder) {
	ctx := testContext(t)
	_ = s.Emit(ctx, "echo", 1, "ü😀<\u2028\x1e", nil, map[string]any{"a": []int{}}, 1.5)
	var list []any
	if err := json.Unmarshal([]byte(strings.TrimPrefix(recv(t, rec.events), "echoed")), &list); err != nil || len(list) != 5 ||
		list[1] != "ü😀<\u2028\x1e" || list[4] != 1.5 {
		t.Error(list, err)
	}
	got, err := Call[Tuple2[string, int]](ctx, s, "echo", "x", 2)
	if err != nil || got.A != "x" || got.B != 2 {
		t.Error(got, err)
	}
	rec.want(t, `echoed["x",2]`)
	answer, err := Call[Tuple2[string, int]](ctx, s, "ask", "why")
	if err != nil || answer.A != "why" {
		t.Error(answer, err)
	}
	rec.want(t, `question["why"]`)
	short, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := Call[None](short, s, "silent"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func checkBinary(t *testing.T, s *Socket) {
	ctx := testContext(t)
	in := map[string]any{"b": []any{Binary{1, 2}, Binary{}, "s"}, "n": 1.0}
	got, err := Call[Tuple2[map[string]any, Binary]](ctx, s, "echo", in, []byte{3})
	if err != nil || !reflect.DeepEqual(got.A, in) || string(got.B) != "\x03" {
		t.Errorf("%v %v", got, err)
	}
	type file struct {
		Name string `json:"name"`
		Data []byte `json:"data"`
	}
	big := file{"f", make([]byte, 300_000)}
	back, err := Call[file](ctx, s, "ask", big)
	if err != nil || !reflect.DeepEqual(back, big) {
		t.Error(back.Name, len(back.Data), err)
	}
}

func checkRooms(t *testing.T, s *Socket, rec *recorder) {
	ctx := testContext(t)
	if _, err := Call[None](ctx, s, "join", "r"); err != nil {
		t.Error(err)
	}
	for len(rec.events) > 0 {
		<-rec.events
	}
	_ = s.Emit(ctx, "to room", "r", 1)
	for {
		if e := recv(t, rec.events); e == "from room[1]" {
			return
		}
	}
}

func checkBurst(t *testing.T, s *Socket, rec *recorder) {
	_ = s.Emit(testContext(t), "burst", 500)
	for i := range 500 {
		rec.want(t, fmt.Sprintf("n[%d]", i))
	}
}

// checkRetries has events acked one after the other, and all of them arrive once.
func checkRetries(t *testing.T, address string, m mode) {
	m.options.Retries, m.options.AckTimeout = 3, 2*time.Minute
	s, rec := dialPeer(t, address, m)
	checkHello(t, rec)
	for i := range 20 {
		_ = s.Emit(testContext(t), "echo", i)
	}
	if got, err := Call[int](testContext(t), s, "echo", 20); err != nil || got != 20 {
		t.Error(got, err)
	}
	for i := range 21 {
		rec.want(t, fmt.Sprintf("echoed[%d]", i))
	}
}

func checkNamespaces(t *testing.T, s *Socket) {
	ctx := testContext(t)
	chat := s.Client().Of("chat")
	if err := chat.Connect(ctx); err != nil {
		t.Fatal(err)
	}
	if got, err := Call[int](ctx, chat, "echo", 5); got != 5 || err != nil {
		t.Error(got, err)
	}
	var refused *ConnectError
	if err := s.Client().Of("/deny").Connect(ctx); !errors.As(err, &refused) || refused.Message != "nope" || string(refused.Data) != `{"code":7}` {
		t.Errorf("%#v", err)
	}
	if err := s.Client().Of("/unknown").Connect(ctx); !errors.As(err, &refused) || refused.Message != "Invalid namespace" {
		t.Error(err)
	}
	ended := make(chan Disconnect, 1)
	remove := chat.OnDisconnect(func(_ context.Context, d Disconnect) { ended <- d })
	_ = chat.Emit(ctx, "bye")
	equal(t, recv(t, ended).Reason, ReasonServer)
	remove()
	if err := chat.Connect(ctx); err != nil || chat.ID() == s.ID() {
		t.Error(err)
	}
	chat.Disconnect()
	equal(t, s.Connected(), true)
}

func checkTransport(t *testing.T, s *Socket, m mode) {
	eventually(t, "the upgrade", func() bool { return s.Client().Transport() == m.transport })
	got, err := Call[string](testContext(t), s, "transport")
	if err != nil || got != m.transport || s.Client().Transport() != m.transport {
		t.Error(got, err)
	}
}

// end is an event that makes the server end something, and the reason for that.
type end struct{ event, reason string }

func checkEnds(t *testing.T, s *Socket, rec *recorder, ends []end) {
	ctx := testContext(t)
	for len(rec.events) > 0 {
		<-rec.events
	}
	recv(t, rec.connects)
	for _, e := range ends {
		if e.event == "cut" && s.Client().Transport() != WebSocket {
			continue
		}
		_ = s.Emit(ctx, e.event)
		d := recv(t, rec.disconnects)
		equal(t, d.Reason, e.reason)
		if d.Reason == ReasonServer {
			if err := s.Connect(ctx); err != nil {
				t.Fatal(err)
			}
		}
		recv(t, rec.connects)
	}
}

// checkUpgrades sees to order and completeness while sessions are upgraded.
func checkUpgrades(t *testing.T, address string) {
	ctx := testContext(t)
	for range 20 {
		next := make(chan int, 1000)
		s, err := Dial(ctx, address, fast(Options{}), func(s *Socket) {
			On(s, "echoed", func(_ context.Context, n int) { next <- n })
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		const n = 500
		go func() {
			for i := range n {
				_ = s.Emit(ctx, "echo", i)
			}
		}()
		for i := range n {
			if got := recv(t, next); got != i {
				t.Fatalf("got %d, want %d", got, i)
			}
		}
		s.Close()
	}
}
