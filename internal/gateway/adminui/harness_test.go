package adminui

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/client"
	"github.com/fanwire/fanwire/internal/gateway/config"
	"github.com/fanwire/fanwire/internal/leaktest"
	"github.com/fanwire/fanwire/node"
)

func TestMain(m *testing.M) {
	greetTime, askTime = patience, patience // nodes of these tests answer, and what they do not is lost
	leaktest.Main(m)
}

// patience bounds every wait. Nothing waits for it to pass.
const patience = time.Minute

const password = "correct horse"

var passwordHash = func() string {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		panic(err)
	}
	return string(hash)
}()

func testConfig() config.AdminUI {
	return config.AdminUI{Namespace: "/admin", Username: "admin", PasswordHash: config.NewSecret(passwordHash), Mode: "development", Public: true}
}

// testNode is a node with an admin namespace and an application.
type testNode struct {
	ui  *UI
	srv *node.Server
	url string
}

// start starts a node on a hub.
func start(t testing.TB, hub *adapter.Hub, id string, cfg config.AdminUI) *testNode {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	srv, err := node.New(node.Config{Adapter: hub.Factory, NodeID: id, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	ui, err := New(cfg, Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	ui.Mount(srv)
	application(srv)
	web := httptest.NewServer(srv)
	t.Cleanup(func() {
		ui.Close()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		web.Close()
	})
	if err := srv.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return &testNode{ui, srv, web.URL}
}

// startTwo starts a cluster of n1 and n2.
func startTwo(t testing.TB, cfg config.AdminUI) (n1, n2 *testNode) {
	hub := &adapter.Hub{Selective: true}
	return start(t, hub, "n1", cfg), start(t, hub, "n2", cfg)
}

// application is what the nodes do for clients, in "/" and in any "/dyn/...".
func application(srv *node.Server) {
	for _, ns := range []node.Handlers{srv, srv.OfPattern("/dyn/{name}")} {
		node.Handle(ns, "join", func(ctx context.Context, s *node.Socket, room string) (node.None, error) {
			return node.None{}, s.Join(ctx, room)
		})
		node.Handle(ns, "leave", func(_ context.Context, s *node.Socket, room string) (node.None, error) {
			s.Leave(room)
			return node.None{}, nil
		})
		node.Handle(ns, "data", func(_ context.Context, s *node.Socket, v any) (node.None, error) {
			s.SetData(v)
			return node.None{}, nil
		})
		node.Handle(ns, "echo", func(ctx context.Context, s *node.Socket, a node.Args) (node.Args, error) {
			return a, s.Emit(ctx, "echoed", a)
		})
	}
}

// dial connects a client to a namespace.
func (n *testNode) dial(t testing.TB, nsp string, opts client.Options, setup ...func(*client.Socket)) *client.Socket {
	t.Helper()
	s, err := n.tryDial(t, nsp, opts, setup...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (n *testNode) tryDial(t testing.TB, nsp string, opts client.Options, setup ...func(*client.Socket)) (*client.Socket, error) {
	t.Helper()
	opts.Transports = append(opts.Transports, client.WebSocket)
	opts.Reconnect.Disabled = true
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := client.Dial(ctx, n.url+nsp, opts, setup...)
	if err == nil {
		t.Cleanup(s.Close)
	}
	return s, err
}

// call has the application do something.
func call(t testing.TB, s *client.Socket, event string, values ...any) {
	t.Helper()
	if _, err := client.Call[client.None](t.Context(), s, event, values...); err != nil {
		t.Fatal(err)
	}
}

// page is the page as far as it listens.
type page struct {
	t testing.TB
	*client.Socket

	mu   sync.Mutex
	seen []seen
}

// seen is an event that came, with its arguments as JSON.
type seen struct {
	name string
	args string
}

func credentials(username, password string) map[string]any {
	return map[string]any{"username": username, "password": password}
}

// open connects a page to the admin namespace.
func (n *testNode) open(t testing.TB, auth any) *page {
	t.Helper()
	p, err := n.tryOpen(t, auth)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (n *testNode) tryOpen(t testing.TB, auth any) (*page, error) {
	t.Helper()
	p := &page{t: t}
	s, err := n.tryDial(t, "/admin", client.Options{Auth: auth}, func(s *client.Socket) {
		s.OnAny(func(_ context.Context, event string, a client.Args) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.seen = append(p.seen, seen{event, string(a.JSON())})
		})
	})
	p.Socket = s
	return p, err
}

// admin is an open page of somebody who knows the password, once it has what it needs.
func (n *testNode) admin(t testing.TB) *page {
	t.Helper()
	p := n.open(t, credentials("admin", password))
	if n.ui.verbose {
		p.await("all_sockets", func(string) bool { return true })
		p.await("socket_connected", func(args string) bool { return strings.Contains(args, p.ID()) }) // its own, at any time after that
	}
	return p
}

// await waits for an event that ok likes and returns its arguments.
func (p *page) await(name string, ok func(args string) bool) string {
	p.t.Helper()
	var found string
	eventually(p.t, name, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		i := slices.IndexFunc(p.seen, func(e seen) bool { return e.name == name && ok(e.args) })
		if i >= 0 {
			found = p.seen[i].args
		}
		return i >= 0
	})
	return found
}

// names returns the names of the events that came since the last call, but for
// server_stats.
func (p *page) names() (names []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.seen {
		if e.name != "server_stats" {
			names = append(names, e.name)
		}
	}
	p.seen = nil
	return names
}

// eventually waits for a condition that nothing announces.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// recv takes the next value from a channel.
func recv[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// parse reads JSON.
func parse[T any](t testing.TB, text string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// parseArgs reads arguments.
func parseArgs(t testing.TB, text string) []any {
	t.Helper()
	return parse[[]any](t, "["+text+"]")
}

func cookies() http.Header {
	return http.Header{"Cookie": {"session=secret"}, "Authorization": {"Bearer secret"}, "X-Thing": {"shown"}}
}

func text(v any) string { return fmt.Sprint(v) }
