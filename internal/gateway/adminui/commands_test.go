package adminui

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fanwire/fanwire/client"
	"github.com/fanwire/fanwire/node"
)

// An admin on n1 does something to sockets of n2.
func TestCommands(t *testing.T) {
	n1, n2 := startTwo(t, testConfig())
	p := n1.admin(t)
	got := make(chan string, 10)
	ended := make(chan string, 10)
	setup := func(s *client.Socket) {
		s.OnAny(func(_ context.Context, event string, a client.Args) {
			got <- s.Namespace() + " " + event + " " + string(a.JSON())
		})
		s.OnDisconnect(func(_ context.Context, d client.Disconnect) { ended <- s.Namespace() + " " + d.Reason })
	}
	s := n2.dial(t, "/", client.Options{}, setup)
	id := s.ID()
	there := s.Client().Of("/dyn/only-there") // n1 has no such namespace
	setup(there)
	if err := there.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	emit := func(name string, values ...any) {
		t.Helper()
		if err := p.Emit(t.Context(), name, values...); err != nil {
			t.Fatal(err)
		}
	}
	inRoom := func(room string) bool {
		socket, ok := n2.srv.Socket(id)
		return ok && socket.InRoom(room)
	}
	emit("emit", "/", id, "hello", 1, []byte("two"), map[string]any{"three": nil})
	if e := recv(t, got); !strings.HasPrefix(e, `/ hello 1,{"_placeholder":true,"num":0},{"three":null}`) {
		t.Error(e)
	}
	emit("emit", "/", nil, "to all")
	if e := recv(t, got); e != "/ to all " {
		t.Error(e)
	}
	emit("emit", "/dyn/only-there", nil, "there", "x")
	if e := recv(t, got); e != `/dyn/only-there there "x"` {
		t.Error(e)
	}
	emit("join", "/", "r1", id)
	eventually(t, "to be in r1", func() bool { return inRoom("r1") })
	emit("join", "/", "r2") // as the page does for all
	eventually(t, "to be in r2", func() bool { return inRoom("r2") })
	emit("leave", "/", "r1", "r2")
	eventually(t, "to be out of r1", func() bool { return !inRoom("r1") })
	emit("_disconnect", "/dyn/only-there", false, there.ID())
	if e := recv(t, ended); e != "/dyn/only-there io server disconnect" {
		t.Error(e)
	}
	emit("_disconnect", "/", true, "r2")
	if e := recv(t, ended); e != "/ io server disconnect" {
		t.Error(e)
	}
	if st := n1.ui.Stats(); st.Commands != 8 {
		t.Error(st.Commands)
	}
}

// Nonsense does nothing, and the admin stays.
func TestBadCommands(t *testing.T) {
	n1, _ := startTwo(t, testConfig())
	p := n1.admin(t)
	s := n1.dial(t, "/", client.Options{})
	for _, values := range [][]any{
		{"emit"},
		{"emit", "/"},
		{"emit", 1, 2, 3},
		{"emit", "/", nil, ""},
		{"emit", "/", nil, "disconnect"},
		{"emit", "", nil, "x"},
		{"join"},
		{"join", "/", ""},
		{"join", "/", []string{"a"}},
		{"join", "/", strings.Repeat("x", 5000)},
		{"join", "/", "a\x00"},
		{"leave", nil, nil, nil},
		{"_disconnect"},
		{"_disconnect", "/", "yes"},
		{"_disconnect", "/", map[string]any{}, []int{1}},
		{"_disconnect", "nowhere, at all", true},
		{"unknown", 1},
	} {
		if err := p.Emit(t.Context(), values[0].(string), values[1:]...); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Emit(t.Context(), "join", "/", "fence", s.ID()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the fence", func() bool {
		socket, ok := n1.srv.Socket(s.ID())
		return ok && socket.InRoom("fence") && len(socket.Rooms()) == 2
	})
	if !p.Connected() || !s.Connected() {
		t.Error("somebody was closed")
	}
}

func TestReadOnly(t *testing.T) {
	cfg := testConfig()
	cfg.ReadOnly = true
	n1, n2 := startTwo(t, cfg)
	p := n1.admin(t)
	if got := p.await("config", func(string) bool { return true }); got != `{"supportedFeatures":["AGGREGATED_EVENTS","ALL_EVENTS"]}` {
		t.Error(got)
	}
	s := n1.dial(t, "/", client.Options{})
	p.await("socket_connected", func(args string) bool { return strings.Contains(args, s.ID()) })
	for _, c := range [][]any{{"join", "/", "r"}, {"_disconnect", "/", true}, {"emit", "/", nil, "x"}} {
		if err := p.Emit(t.Context(), c[0].(string), c[1:]...); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the commands", func() bool { return n1.srv.Stats().EventsUnhandled == 3 })
	if socket, ok := n1.srv.Socket(s.ID()); !ok || socket.InRoom("r") {
		t.Error("not only read")
	}
	// Nor can an admin of a node that is not read-only do it to the sockets of one that is.
	other := n2.dial(t, "/", client.Options{})
	if err := n1.ui.admin.ServerEmit(t.Context(), eventDo, command{Name: "_disconnect", Namespace: "/"}); err != nil {
		t.Fatal(err)
	}
	for _, err := range node.CallServers[[]string](t.Context(), n1.ui.admin, eventNamespaces) { // comes after
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := n2.srv.Socket(other.ID()); !ok {
		t.Error("disconnected")
	}
}

func TestProduction(t *testing.T) {
	cfg := testConfig()
	cfg.Mode = "production"
	n1, n2 := startTwo(t, cfg)
	p := n1.admin(t)
	if got := p.await("config", func(string) bool { return true }); got !=
		`{"supportedFeatures":["EMIT","JOIN","LEAVE","DISCONNECT","MJOIN","MLEAVE","MDISCONNECT","AGGREGATED_EVENTS"]}` {
		t.Error(got)
	}
	s := n2.dial(t, "/", client.Options{})
	call(t, s, "echo", 1)
	p.await("server_stats", func(args string) bool {
		return strings.Contains(args, `"serverId":"n2"`) && strings.Contains(args, `{"name":"/","socketsCount":1}`)
	})
	if got := p.names(); !slices.Equal(got, []string{"session", "config"}) {
		t.Error(got)
	}
}

func TestServerStats(t *testing.T) {
	n1, n2 := startTwo(t, testConfig())
	p := n1.admin(t)
	for _, id := range []string{"n1", "n2"} {
		p.await("server_stats", func(args string) bool { return strings.Contains(args, `"serverId":"`+id+`"`) })
	}
	s := n2.dial(t, "/", client.Options{Transports: []string{client.Polling}, NoUpgrade: true})
	call(t, s, "echo", 1)
	types := map[string]uint64{} // by all that n2 tells: it may do so while the client is on its way
	var st serverStats
	eventually(t, "n2 to tell of the client", func() bool {
		clear(types)
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, e := range p.seen {
			if e.name != "server_stats" || !strings.Contains(e.args, `"serverId":"n2"`) {
				continue
			}
			st = parse[serverStats](t, e.args)
			for _, c := range st.Events {
				types[c.Type] += c.Count
				if c.Timestamp%1000 != 0 {
					t.Error(c)
				}
			}
		}
		return types["rawConnection"] > 0 && types["packetsIn"] > 1 && slices.Contains(st.Namespaces, namespaceStats{"/", 1})
	})
	if st.PID != os.Getpid() || st.Uptime <= 0 || st.Clients != 1 || st.PollingClients != 1 || st.Hostname == "" ||
		!slices.Contains(st.Namespaces, namespaceStats{"/", 1}) {
		t.Errorf("%+v", st)
	}
	if types["rawConnection"] != 1 || types["packetsIn"] == 0 || types["bytesOut"] == 0 {
		t.Error(types)
	}
	s.Close()
	p.await("server_stats", func(args string) bool {
		return strings.Contains(args, `"serverId":"n2"`) && strings.Contains(args, "rawDisconnection")
	})
}

func TestPage(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"index.html": "<p>page", "js/app.js": "1", "secret": "s"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg := testConfig()
	cfg.Dir = dir
	ui, err := New(cfg, Options{})
	if err != nil {
		t.Fatal(err)
	}
	get := func(method, path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		ui.Handler().ServeHTTP(w, httptest.NewRequest(method, path, nil))
		return w
	}
	for path, want := range map[string]int{
		"/admin-ui/": 200, "/admin-ui/js/app.js": 200, "/admin-ui/js/": 404, "/admin-ui/js": 404, "/admin-ui/none": 404, "/other": 404,
		"/admin-ui/../secret": 404, "/admin-ui/..%2f..%2fetc/passwd": 404,
	} {
		if w := get("GET", path); w.Code != want {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	w := get("GET", "/admin-ui/")
	if w.Body.String() != "<p>page" || !strings.Contains(w.Header().Get("Content-Security-Policy"), "script-src 'self';") {
		t.Error(w.Body, w.Header())
	}
	if w := get("POST", "/admin-ui/"); w.Code != http.StatusMethodNotAllowed {
		t.Error(w.Code)
	}
	cfg.Dir = ""
	if ui, err = New(cfg, Options{}); err != nil {
		t.Fatal(err)
	}
	if w := get("GET", "/admin-ui/"); w.Code != 404 {
		t.Error(w.Code)
	}
}
