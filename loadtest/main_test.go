package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fanwire/fanwire/internal/leaktest"
	"github.com/fanwire/fanwire/loadtest/internal/result"
	"github.com/fanwire/fanwire/node"
	"github.com/fanwire/fanwire/protocol/msgpack"
)

// The test binary is the program, too, so that --processes can start it.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "worker" {
		main()
	}
	leaktest.Main(m)
}

// outcome is what a command line has led to.
type outcome struct {
	code   int
	doc    *result.Document
	stdout string
	stderr string
	file   string // the result as it is in the file
}

// try runs a command line, with its result in a file.
func try(t *testing.T, ctx context.Context, args ...string) outcome {
	t.Helper()
	file := filepath.Join(t.TempDir(), "result.json")
	var stdout, stderr bytes.Buffer
	e := &environment{ctx: ctx, args: append(args, "--out="+file), stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr}
	o := outcome{code: runLine(e)}
	o.stdout, o.stderr = stdout.String(), stderr.String()
	if data, err := os.ReadFile(file); err == nil && len(data) > 0 {
		o.file = string(data)
		o.doc = new(result.Document)
		if err := json.Unmarshal(data, o.doc); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("exit code %d\n%s%s", o.code, o.stdout, o.stderr)
	return o
}

// measure runs a test that must give a result. On a busy machine it may be one that says
// of itself that the generator was too slow.
func measure(t *testing.T, args ...string) *result.Document {
	t.Helper()
	o := try(t, t.Context(), args...)
	if o.doc == nil || o.code != exitOK && o.code != exitInvalid {
		t.Fatalf("exit code %d", o.code)
	}
	return o.doc
}

// short is a second of traffic.
var short = []string{"--ramp=100ms", "--warmup=0", "--duration=1s", "--cooldown=100ms", "--timeout=20s", "--live=off"}

func with(url string, args ...string) []string {
	return append(append([]string{args[0], "--url=" + url}, short...), args[1:]...)
}

// Whatever the server does wrong is in the account, to the last message.
func TestFaults(t *testing.T) {
	tests := []struct {
		name   string
		faults func(s *server)
		flags  []string
	}{
		{"none", func(s *server) { s.drop = 1 << 40 }, nil},
		{"drops every 7th delivery", func(s *server) { s.drop = 7 }, nil},
		{"doubles every 5th", func(s *server) { s.double = 5 }, nil},
		{"lets every 6th be overtaken", func(s *server) { s.swap = 6 }, nil},
		{
			"all of it, polling and binary", func(s *server) { s.drop, s.double, s.swap = 7, 11, 13 },
			[]string{"--transport=websocket=1,polling=1,upgrade=1", "--binary=50%", "--payload=dist:40B-2KB"},
		},
		{
			"all of it, several publishers", func(s *server) { s.drop, s.double, s.swap = 7, 11, 13 },
			[]string{"--publishers=3", "--rooms=5", "--per-room=10", "--arrival=poisson"},
		},
		{
			"all of it, to everybody", func(s *server) { s.drop, s.double, s.swap = 7, 11, 13 },
			[]string{"--rooms=0", "--rate=20/s", "--transport=websocket=1,polling=1,upgrade=1"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := start(t, node.Config{})
			test.faults(s)
			// A message that is held for good is one that never comes.
			args := append(with(s.url, "fanout", "--clients=20", "--rooms=2", "--rate=200/s"), "--timeout=2s")
			d := measure(t, append(args, test.flags...)...)
			s.mu.Lock()
			held := int64(len(s.held))
			s.mu.Unlock()
			m := d.Messages
			if m.Sent == 0 || m.Expected != m.Delivered+m.Lost || m.Excused != 0 || m.Unexpected != 0 {
				t.Errorf("the account does not add up: %+v", m)
			}
			if m.Lost != s.dropped.Load()+held {
				t.Errorf("%d lost, but %d were dropped and %d held", m.Lost, s.dropped.Load(), held)
			}
			if m.Duplicated != s.doubled.Load() {
				t.Errorf("%d doubled, want %d", m.Duplicated, s.doubled.Load())
			}
			if len(test.flags) != 4 { // one publisher: each swap is one
				if m.OutOfOrder != s.swapped.Load() {
					t.Errorf("%d out of order, want %d", m.OutOfOrder, s.swapped.Load())
				}
			}
			if m.Delivered != s.delivered.Load()-s.doubled.Load() {
				t.Errorf("%d delivered, the server says %d", m.Delivered, s.delivered.Load()-s.doubled.Load())
			}
			if got := d.Latencies[result.Delivery].Count; got != m.Delivered {
				t.Errorf("%d latencies for %d deliveries", got, m.Delivered)
			}
		})
	}
}

// A server that is late is late, not lossy.
func TestLate(t *testing.T) {
	s := start(t, node.Config{})
	s.delay = 30 * time.Millisecond
	d := measure(t, with(s.url, "fanout", "--clients=4", "--rooms=2", "--rate=20/s")...)
	if m := d.Messages; m.Lost != 0 || m.Delivered == 0 {
		t.Errorf("%+v", m)
	}
	if p50 := d.Latencies[result.Delivery].P50; p50 < 30_000 {
		t.Errorf("median %d µs, but each message takes 30 ms", p50)
	}
}

// A stall counts for all who would have sent meanwhile, not for one.
func TestCoordinatedOmission(t *testing.T) {
	s := start(t, node.Config{})
	s.stall = 600 * time.Millisecond
	// One client: the node handles its events one after the other.
	d := measure(t, with(s.url, "echo", "--clients=1", "--rate=200/s", "--duration=2s")...)
	h, err := d.Latencies[result.Echo].Distribution()
	if err != nil {
		t.Fatal(err)
	}
	var slow int64
	for _, bar := range h.Distribution() {
		if bar.From >= 250_000 {
			slow += bar.Count
		}
	}
	// 70 were due in the first 350 ms of the stall and waited for 250 ms or longer.
	if slow < 65 {
		t.Errorf("%d of %d echoes took 250 ms or longer, want 70 or more", slow, d.Latencies[result.Echo].Count)
	}
	if m := d.Messages; m.Unanswered != 0 || m.Sent+m.Skipped != 400 {
		t.Errorf("%d sent, %d skipped, %d unanswered, of 400 slots", m.Sent, m.Skipped, m.Unanswered)
	}
}

func TestClosedLoop(t *testing.T) {
	s := start(t, node.Config{})
	if m := measure(t, with(s.url, "echo", "--clients=3", "--in-flight=4")...).Messages; m.Answered < 12 || m.Unanswered != 0 {
		t.Errorf("echo: %+v", m)
	}
	if m := measure(t, with(s.url, "fanout", "--clients=30", "--rooms=3", "--in-flight=4")...).Messages; m.Sent < 13 || m.Lost != 0 || m.Delivered != 10*m.Sent {
		t.Errorf("fanout: %+v", m)
	}
}

// What the warm-up has in flight goes on in the measured part.
func TestClosedLoopAcrossStages(t *testing.T) {
	s := start(t, node.Config{})
	s.node.Of("/loadtest").UseEvent(func(next node.EventFunc) node.EventFunc {
		return func(ctx context.Context, s *node.Socket, e node.Event) error {
			time.Sleep(20 * time.Millisecond) // all is in flight at any moment
			return next(ctx, s, e)
		}
	})
	d := measure(t, with(s.url, "echo", "--clients=3", "--in-flight=4", "--warmup=300ms")...)
	if m := d.Messages; m.Answered < 12 || m.Unanswered != 0 {
		t.Errorf("echo: %+v", m)
	}
	if p50 := d.Latencies[result.Echo].P50; p50 < 60_000 { // one waits for three others
		t.Errorf("an echo took %d µs: there were fewer than 4 in flight", p50)
	}
}

// The closed loop does not stand still because messages are lost.
func TestClosedLoopWithLoss(t *testing.T) {
	s := start(t, node.Config{})
	s.drop = 3
	args := append(with(s.url, "fanout", "--clients=3", "--rooms=1", "--in-flight=2"), "--timeout=2s", "--duration=6s")
	m := measure(t, args...).Messages
	if m.Sent < 5 || m.Lost != s.dropped.Load() {
		t.Errorf("%+v, %d dropped", m, s.dropped.Load())
	}
}

// Two nodes: where publisher and receiver are is known from the session ids.
func TestCluster(t *testing.T) {
	nodes := cluster(t, 2)
	d := measure(t, with(nodes[0].url, "fanout", "--url="+nodes[1].url, "--clients=8", "--rooms=2", "--rate=50/s")...)
	same, cross := d.Latencies[result.SameNode].Count, d.Latencies[result.CrossNode].Count
	if d.Connections.ByNode["a"] != 4 || d.Connections.ByNode["b"] != 4 {
		t.Errorf("balance %v", d.Connections.ByNode)
	}
	// Clients alternate, and so do rooms: those of a room are all on one node.
	if m := d.Messages; m.Lost != 0 || same+cross != m.Delivered || same != m.Delivered {
		t.Errorf("%d same, %d cross: %+v", same, cross, m)
	}
	d = measure(t, with(nodes[0].url, "fanout", "--url="+nodes[1].url, "--clients=8", "--rooms=1", "--rate=50/s")...)
	same, cross = d.Latencies[result.SameNode].Count, d.Latencies[result.CrossNode].Count
	if m := d.Messages; m.Lost != 0 || same != cross || same+cross != m.Delivered || same == 0 {
		t.Errorf("%d same, %d cross: %+v", same, cross, m)
	}
}

func TestTransportsAndParsers(t *testing.T) {
	s := start(t, node.Config{Parser: msgpack.Parser})
	d := measure(t, with(s.url, "fanout", "--parser=msgpack", "--transport=websocket=1,polling=1,upgrade=1", "--binary=50%", "--clients=12", "--rooms=3", "--rate=50/s")...)
	if m := d.Messages; m.Lost != 0 || m.Unexpected != 0 || m.Delivered != 4*m.Sent || m.Sent == 0 {
		t.Errorf("%+v", m)
	}
	if by := d.Connections.ByTransport; by["websocket"]+by["polling"] != 12 || by["polling"] < 3 {
		t.Errorf("transports %v", by)
	}
	if d.Latencies[result.Upgrade].Count == 0 || d.Latencies[result.Handshake].Count < 12 {
		t.Errorf("%d upgrades, %d handshakes", d.Latencies[result.Upgrade].Count, d.Latencies[result.Handshake].Count)
	}
}

// Who comes and goes costs nobody a message.
func TestChurn(t *testing.T) {
	s := start(t, node.Config{})
	d := measure(t, with(s.url, "churn", "--clients=20", "--rooms=4", "--rate=200/s", "--joins=50/s", "--reconnects=10/s", "--away=50ms", "--duration=3s")...)
	m := d.Messages
	if m.Lost != 0 || m.Duplicated != 0 || m.Unexpected != 0 || m.OutOfOrder != 0 || m.Expected != m.Delivered+m.Excused || m.Delivered == 0 {
		t.Errorf("%+v", m)
	}
	if d.Latencies[result.Join].Count < 100 || d.Connections.Connected < 30 || d.Connections.Disconnected != 0 {
		t.Errorf("%d joins, %+v", d.Latencies[result.Join].Count, d.Connections)
	}
}

func TestStorm(t *testing.T) {
	s := start(t, node.Config{})
	d := measure(t, with(s.url, "storm", "--clients=20", "--rooms=4", "--rate=50/s", "--after=200ms", "--duration=4s")...)
	if n := d.Latencies[result.Reconnect].Count; n != 20 || d.Connections.Reconnected != 20 {
		t.Errorf("%d of 20 have come back: %+v", n, d.Connections)
	}
	if m := d.Messages; m.Lost != 0 || m.Duplicated != 0 || m.Unexpected != 0 {
		t.Errorf("%+v", m)
	}
}

// What is sent to those who are away is in the account, as excused, and is shown.
func TestStormWithTraffic(t *testing.T) {
	s := start(t, node.Config{})
	o := try(t, t.Context(), with(s.url, "storm", "--clients=20", "--rooms=2", "--publishers=5", "--rate=200/s", "--drop=50%", "--after=500ms", "--duration=4s", "--threshold=delivery.ratio==1")...)
	if o.doc == nil || o.code != exitOK && o.code != exitInvalid {
		t.Fatalf("exit code %d", o.code)
	}
	m := o.doc.Messages
	if m.Excused == 0 || m.Lost != 0 || m.Duplicated != 0 || m.Unexpected != 0 || m.Expected != m.Delivered+m.Excused || !o.doc.Thresholds[0].OK {
		t.Errorf("%+v", m)
	}
	if want := fmt.Sprintf("lost 0, excused %d,", m.Excused); !strings.Contains(o.stdout, want) {
		t.Errorf("%q is not in %s", want, o.stdout)
	}
}

func TestHook(t *testing.T) {
	s := start(t, node.Config{})
	mark := filepath.Join(t.TempDir(), "mark")
	measure(t, with(s.url, "storm", "--clients=2", "--hook=touch "+mark, "--after=100ms", "--duration=3s")...)
	if _, err := os.Stat(mark); err != nil {
		t.Error(err)
	}
	if o := try(t, t.Context(), with(s.url, "storm", "--clients=2", "--hook=echo broken; exit 3", "--after=100ms", "--duration=3s")...); o.code != exitFailed || !strings.Contains(o.stderr, "broken") {
		t.Errorf("exit code %d", o.code)
	}
}

// Up and down again.
func TestStages(t *testing.T) {
	s := start(t, node.Config{})
	d := measure(t, append(with(s.url, "fanout", "--rooms=2", "--rate=50/s"), "--stages=500ms:10,500ms:20,500ms:20,500ms:4")...)
	// A generator that says of itself that it was too slow may not get up in time.
	if p := d.Connections.Peak; p > 20 || p < 20 && len(d.Invalid) == 0 || len(d.Stages) != 4 || d.Connections.Disconnected != 0 {
		t.Errorf("%+v, %d stages", d.Connections, len(d.Stages))
	}
	if m := d.Messages; m.Lost != 0 || m.Unexpected != 0 || m.Delivered == 0 {
		t.Errorf("%+v", m)
	}
}

// Several processes are one test.
func TestProcesses(t *testing.T) {
	s := start(t, node.Config{})
	d := measure(t, with(s.url, "fanout", "--processes=2", "--clients=20", "--rooms=4", "--rate=100/s")...)
	if m := d.Messages; m.Lost != 0 || m.Unexpected != 0 || m.Delivered != 5*m.Sent || m.Sent < 80 && len(d.Invalid) == 0 {
		t.Errorf("%+v", m)
	}
	if len(d.Generators) != 2 || d.Connections.Connected != 20 || d.Latencies[result.Delivery].Count != d.Messages.Delivered {
		t.Errorf("%d generators, %+v", len(d.Generators), d.Connections)
	}
	if plan := compact(t, d.Plan); !strings.Contains(plan, `"clients":"20"`) || !strings.Contains(plan, `"rate":"100/s"`) || !strings.Contains(plan, `"parts":1`) {
		t.Errorf("this is not the plan of the whole test: %s", plan)
	}
	o := try(t, t.Context(), with("http://127.0.0.1:1", "echo", "--processes=2")...)
	if o.code != exitTarget || !strings.Contains(o.stderr, "http://127.0.0.1:1") {
		t.Errorf("exit code %d", o.code)
	}
}

func TestInterrupt(t *testing.T) {
	for _, processes := range []string{"1", "2"} {
		t.Run("processes="+processes, func(t *testing.T) {
			s := start(t, node.Config{})
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				for s.echoes.Load() < 20 && t.Context().Err() == nil { // well in the test
					time.Sleep(time.Millisecond)
				}
				cancel()
			}()
			o := try(t, ctx, append(with(s.url, "echo", "--rate=100/s", "--processes="+processes), "--duration=1h")...)
			if o.code != exitInterrupted || o.doc == nil || !o.doc.Interrupted || o.doc.Messages.Sent == 0 {
				t.Errorf("exit code %d, %+v", o.code, o.doc)
			}
		})
	}
}

func TestThreshold(t *testing.T) {
	s := start(t, node.Config{})
	o := try(t, t.Context(), with(s.url, "fanout", "--clients=4", "--rooms=2", "--rate=20/s", "--threshold=delivery.ratio==1", "--threshold=delivery.p99<1us")...)
	if o.doc == nil || len(o.doc.Thresholds) != 2 || !o.doc.Thresholds[0].OK || o.doc.Thresholds[1].OK {
		t.Fatalf("%+v", o.doc)
	}
	if len(o.doc.Invalid) == 0 && o.code != exitThreshold {
		t.Errorf("exit code %d", o.code)
	}
}

func TestTargets(t *testing.T) {
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "go away", http.StatusForbidden)
	}))
	t.Cleanup(refusing.Close)
	s := start(t, node.Config{})
	s.refuse = errRefused
	good := start(t, node.Config{})
	tests := []struct {
		name string
		args []string
		want []string
	}{
		{"nobody there", with("http://127.0.0.1:1", "connect"), []string{"http://127.0.0.1:1", "connection refused"}},
		{"one of two", with(good.url, "connect", "--url=http://127.0.0.1:1"), []string{"http://127.0.0.1:1"}},
		{"handshake refused", with(refusing.URL, "connect"), []string{refusing.URL, "403", "go away"}},
		{"handshake refused, polling", with(refusing.URL, "connect", "--transport=polling"), []string{refusing.URL, "403", "go away"}},
		{"namespace refused", with(s.url, "connect"), []string{s.url, "no entry"}},
		{"no other side", append(with(good.url, "echo", "--nsp=/"), "--timeout=2s"), []string{good.url, "echo", "--loadtest"}},
		{"password", with("http://u:secret@127.0.0.1:1", "connect"), []string{"http://127.0.0.1:1"}},
	}
	good.node.Of("/")
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := try(t, t.Context(), test.args...)
			if o.code != exitTarget {
				t.Errorf("exit code %d", o.code)
			}
			for _, want := range test.want {
				if !strings.Contains(o.stderr, want) {
					t.Errorf("%q is not in %q", want, o.stderr)
				}
			}
			if strings.Contains(o.stderr, "secret") {
				t.Error("the password is shown")
			}
		})
	}
}

func TestUsage(t *testing.T) {
	tests := []struct {
		args []string
		want []string
	}{
		{[]string{"echo"}, []string{"urls"}},
		{[]string{"echo", "--url=ftp://x", "--rate=1", "--in-flight=2"}, []string{"urls[0]", "inFlight"}},
		{[]string{"fanout", "--url=http://x", "--clients=3", "--rooms=4"}, []string{"rooms"}},
		{[]string{"fanout", "--url=http://x", "--rooms=0", "--per-room=2"}, []string{"perRoom", "no rooms"}},
		{[]string{"churn", "--url=http://x", "--rooms=0"}, []string{"stages[0].churn.joins", "no rooms"}},
		{[]string{"fanout", "--url=http://x", "--rooms=0", "--processes=2"}, []string{"--processes", "one process"}},
		{[]string{"fanout", "--url=http://x", "--rate=fast"}, []string{"--rate", "fast"}},
		{[]string{"echo", "--url=http://x", "--transport=carrier-pigeon"}, []string{"carrier-pigeon"}},
		{[]string{"echo", "--url=http://x", "--auth=secret"}, []string{"--auth"}},
		{[]string{"echo", "--url=http://x", "--payload=10B"}, []string{"payload"}},
		{[]string{"connect", "--url=http://x", "--threshold=nonsense"}, []string{"nonsense"}},
		{[]string{"connect", "--url=http://x", "--clients=1M"}, []string{"clients", "open files"}},
		{[]string{"run", "/nowhere.yaml"}, []string{"/nowhere.yaml"}},
		{[]string{"dance"}, []string{"dance"}},
	}
	for _, test := range tests {
		o := try(t, t.Context(), test.args...)
		if o.code != exitUsage {
			t.Errorf("%v: exit code %d", test.args, o.code)
		}
		for _, want := range test.want {
			if !strings.Contains(o.stderr, want) {
				t.Errorf("%v: %q is not in %q", test.args, want, o.stderr)
			}
		}
		if strings.Contains(o.stderr, "secret") {
			t.Errorf("%v: %q", test.args, o.stderr)
		}
	}
}

func TestScenarioFile(t *testing.T) {
	s := start(t, node.Config{})
	file := filepath.Join(t.TempDir(), "evening.yaml")
	scenario := `
url: ` + s.url + `
auth: {token: hush}
headers: {X-Key: hush}
clients: 10
ramp: 100ms
rooms: 2
warmup: 0s
cooldown: 100ms
timeout: 20s
stages:
  - name: calm
    duration: 500ms
    echo: {rate: 50/s}
  - name: crowd
    duration: 1s
    clients: 20
    fanout: {rate: 50/s, arrival: poisson}
    echo: {inFlight: 1}
    churn: {joins: 10/s}
`
	if err := os.WriteFile(file, []byte(scenario), 0o600); err != nil {
		t.Fatal(err)
	}
	o := try(t, t.Context(), "run", file, "--live=off")
	if o.doc == nil || o.code != exitOK && o.code != exitInvalid {
		t.Fatalf("exit code %d", o.code)
	}
	d := o.doc
	if d.Scenario != "evening" || len(d.Stages) != 2 || d.Stages[0].Name != "calm" || d.Stages[1].Kind != "echo+fanout+churn" {
		t.Errorf("%q, %+v", d.Scenario, d.Stages)
	}
	if d.Stages[0].Messages.Answered != 25 || d.Stages[1].Messages.Delivered == 0 || d.Messages.Lost != 0 || d.Messages.Unanswered != 0 {
		t.Errorf("%+v\n%+v", d.Stages[0].Messages, d.Stages[1].Messages)
	}
	if strings.Contains(o.file+o.stdout+o.stderr, "hush") {
		t.Error("a secret is in the result or on the screen")
	}
	if !strings.Contains(compact(t, d.Plan), `"joins":"10/s"`) {
		t.Errorf("plan %s", d.Plan)
	}
}
