package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"unicode/utf8"

	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/adapter/redis"
	"github.com/fanwire/fanwire/internal/listener"
	"github.com/fanwire/fanwire/node"
)

// chatEvent is the event of the official tutorial.
const chatEvent = "chat message"

// member is one node of the cluster.
type member struct {
	id     string
	redis  *goredis.Client
	server *node.Server
	front  *listener.Server
}

func startMember(id string, cfg Config, slots *listener.Slots) (_ *member, err error) {
	log := cfg.Logger.With("node", id)
	m := &member{id: id}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("demo: node %s: %w", id, err), m.close(context.Background()))
		}
	}()
	opts, err := redisOptions(cfg.Redis)
	if err != nil {
		return nil, err
	}
	m.redis = goredis.NewClient(opts)
	nc := node.Config{NodeID: id, Adapter: redis.NewAdapter(m.redis, redis.Config{Logger: log}), Logger: log}
	if cfg.ClientDir != "" {
		nc.ClientFiles = os.DirFS(cfg.ClientDir)
	}
	if m.server, err = node.New(nc); err != nil {
		return nil, err
	}
	serveChat(m.server)
	m.front, err = listener.New(listener.Config{
		Handler: http.HandlerFunc(m.serveHTTP),
		Slots:   slots,
		Shed:    true,
		Logger:  log,
		// The balancer's word counts.
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
	})
	if err != nil {
		return nil, err
	}
	return m, m.front.Start("127.0.0.1:0")
}

// serveChat is the server of the tutorial: everyone gets every message.
func serveChat(srv *node.Server) {
	node.On(srv, chatEvent, func(ctx context.Context, _ *node.Socket, text string) error {
		return srv.Emit(ctx, chatEvent, text)
	})
}

// online counts the clients in the chat.
func (m *member) online() int { return int(m.server.Stats().Sockets) }

// close releases what is not the server's.
func (m *member) close(ctx context.Context) error {
	var errs []error
	if m.front != nil {
		errs = append(errs, m.front.Shutdown(ctx))
	}
	if m.redis != nil {
		errs = append(errs, m.redis.Close())
	}
	return errors.Join(errs...)
}

func (m *member) serveHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == sendPath {
		m.send(w, r)
		return
	}
	m.server.ServeHTTP(w, r)
}

// maxText is the size of a message that the page may send, in bytes.
const maxText = 4000

var crossOrigin = http.NewCrossOriginProtection()

// send emits the text of a POST from this node to everyone and answers with the
// node's id: the page uses it to send through any node.
func (m *member) send(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	if err := crossOrigin.Check(r); err != nil { // HRD-13
		w.WriteHeader(http.StatusForbidden)
		return
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxText))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	case err != nil || !utf8.Valid(text) || strings.TrimSpace(string(text)) == "":
		w.WriteHeader(http.StatusBadRequest)
	case m.server.Emit(r.Context(), chatEvent, string(text)) != nil:
		w.WriteHeader(http.StatusServiceUnavailable)
	default:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, m.id)
	}
}

// redisOptions reads host:port or a redis:// URL; an empty address, which stands
// for the embedded Redis, gives options without one.
func redisOptions(addr string) (*goredis.Options, error) {
	if !strings.Contains(addr, "://") {
		return &goredis.Options{Addr: addr, DisableIdentity: true}, nil
	}
	opts, err := goredis.ParseURL(addr)
	if err != nil {
		return nil, fmt.Errorf("demo: address of Redis: %w", err)
	}
	opts.DisableIdentity = true
	return opts, nil
}
