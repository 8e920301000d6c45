package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// recording is a server that acknowledges, ignores, and cuts connections as its
// plan says, and writes down what the client sends.
type recording struct {
	*httptest.Server
	t    *testing.T
	plan map[string][]string // what to do at each try of an event; "ack" in the end

	mu    sync.Mutex
	lines []string
	tries map[string]int
	late  bool // an event came again that had been acknowledged, or a try did not come: the machine was too slow for the ack timeout
	next  int  // ack id
	conns int
	ended chan struct{}
}

func newRecording(t *testing.T) *recording {
	r := &recording{t: t, tries: make(map[string]int), ended: make(chan struct{}), plan: map[string][]string{
		"a": {"ignore", "ack[]"},
		"b": {`ack["ok",7]`},
		"c": {"cut", "ack[]"},
		"d": {"ignore", "ignore", "ignore"},
		"e": {"cut", "ignore", `ack[{"x":null}]`},
		"f": {"cut", "cut", "cut"},
		"g": {`ack["end"]`},
	}}
	r.Server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.Close)
	return r
}

func (r *recording) serve(w http.ResponseWriter, req *http.Request) {
	u := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	conn, err := u.Upgrade(w, req, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	say := func(frame string) { _ = conn.WriteMessage(websocket.TextMessage, []byte(frame)) }
	say(defaultHello)
	for {
		kind, data, err := conn.ReadMessage()
		if err != nil {
			return
		}
		if kind == websocket.BinaryMessage {
			r.note(fmt.Sprintf("%x", data))
			continue
		}
		text := string(data)
		switch {
		case strings.HasPrefix(text, "40"):
			r.note(text)
			say(`40{"sid":"s","pid":"P"}`)
			r.mu.Lock()
			r.conns++
			say(`42["hello","offset` + strconv.Itoa(r.conns) + `"]`)
			r.mu.Unlock()
		case strings.HasPrefix(text, "41"):
			r.note(text)
			close(r.ended)
			return
		default:
			switch todo, id := r.event(text); {
			case todo == "cut":
				return
			case strings.HasPrefix(todo, "ack"):
				say("43" + id + todo[3:])
				if todo == `ack["end"]` {
					say(`42["end","last"]`)
				}
			}
		}
	}
}

func (r *recording) note(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, line)
}

// event writes an event down and says what to do about it.
func (r *recording) event(text string) (todo, id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, text)
	head, rest, _ := strings.Cut(text, `["`)
	name, _, _ := strings.Cut(rest, `"`)
	id = head[2:]
	if _, after, ok := strings.Cut(head, "-"); ok {
		id = after
	}
	number, _ := strconv.Atoi(id)
	r.late = r.late || number != r.next // the one before was sent when the connection had been cut
	r.next = number + 1
	n := r.tries[name]
	r.tries[name]++
	if n >= len(r.plan[name]) {
		r.late = true
		return "ack[]", id
	}
	return r.plan[name][n], id
}

// TestRetriesLikeOfficial: the official client and ours put the same packets on the
// wire, and come to the same results.
func TestRetriesLikeOfficial(t *testing.T) {
	modules := os.Getenv(officialEnv)
	if modules == "" {
		t.Skipf("SKIPPED: %s is not set; it names a node_modules folder with socket.io-client", officialEnv)
	}
	// An ack that comes too late on a slow machine makes one try more, and every
	// later id another: then both are given more time.
	for ackTimeout := 300 * time.Millisecond; ; ackTimeout *= 3 {
		official, theirs := newRecording(t), make(map[string]any)
		cmd := exec.CommandContext(testContext(t), "node", "testdata/retries.mjs", official.URL, strconv.FormatInt(ackTimeout.Milliseconds(), 10))
		cmd.Env = append(os.Environ(), "NODE_MODULES="+modules)
		cmd.Stderr = os.Stderr
		line, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(line, &theirs); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		recv(t, official.ended)
		ours := newRecording(t)
		got := runRetries(t, ours.URL, ackTimeout)
		recv(t, ours.ended)
		if (official.late || ours.late) && ackTimeout < 10*time.Second {
			continue
		}
		if !slices.Equal(official.lines, ours.lines) {
			t.Errorf("official:\n%s\nours:\n%s", strings.Join(official.lines, "\n"), strings.Join(ours.lines, "\n"))
		}
		if !reflect.DeepEqual(theirs, got) {
			t.Errorf("official: %v\nours:     %v", theirs, got)
		}
		return
	}
}

// runRetries is testdata/retries.mjs by our client.
func runRetries(t *testing.T, address string, ackTimeout time.Duration) map[string]any {
	o := fast(Options{Transports: []string{WebSocket}, Retries: 2, AckTimeout: ackTimeout})
	o.Reconnect.Delay, o.Reconnect.DelayMax = 10*time.Millisecond, 20*time.Millisecond
	c, err := New(address, o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s := c.Of("/")
	ctx := context.Background()
	var mu sync.Mutex
	outcomes := make(map[string]any)
	told := func(name string) func(Args, error) {
		return func(a Args, err error) {
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				outcomes[name] = strings.TrimPrefix(err.Error(), "client: ")
				return
			}
			var values any
			if err := json.Unmarshal([]byte(a.String()), &values); err != nil {
				t.Error(err)
			}
			outcomes[name] = values
		}
	}
	end := make(chan struct{})
	On(s, "end", func(context.Context, Args) { close(end) })
	_ = s.Emit(ctx, "a", 1)
	_ = s.Volatile().Emit(ctx, "volatile")
	_ = s.EmitAck(ctx, "b", told("b"), map[string]any{"x": []any{1, "é"}})
	_ = s.EmitAck(ctx, "c", told("c"), []byte{1, 2, 3})
	_ = s.EmitAck(ctx, "d", told("d"), nil)
	_ = s.EmitAck(ctx, "e", told("e"))
	_ = s.EmitAck(ctx, "f", told("f"), "given up")
	_ = s.EmitAck(ctx, "g", told("g"), 1.5)
	s.Open()
	recv(t, end)
	s.Disconnect()
	mu.Lock()
	defer mu.Unlock()
	return outcomes
}
