package observe

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/fanwire/fanwire/internal/leaktest"
	"github.com/fanwire/fanwire/node"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// patience bounds every wait in tests. Nothing waits for it to pass.
const patience = time.Minute

// serve makes a node that listens on loopback and sees to its end. setUp registers
// handlers; it may be nil.
func serve(t testing.TB, cfg node.Config, setUp func(*node.Server)) (srv *node.Server, url string) {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	srv, err := node.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if setUp != nil {
		setUp(srv)
	}
	ts := httptest.NewServer(srv)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		ts.Close()
	})
	return srv, ts.URL
}
