// Package adminui is what the official Socket.IO Admin UI (npm @socket.io/admin-ui)
// talks to: a namespace of the node, with a login, that tells of servers, sockets,
// rooms and events of the whole cluster and takes commands. The page itself is the
// one of the npm package.
//
// Admins may be connected to any node. What a node has to tell it emits into the
// namespace, as official servers do, so admins of all nodes get it; but it tells only
// while somebody watches: nodes with admins say so to the others. Next to official
// servers, which do not say it, a node tells always.
//
// In development mode a hook sees each event of each socket. What it sees goes into a
// bounded queue, from which one goroutine sends; what is too much is dropped and
// counted.
package adminui

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/crypto/bcrypt"

	"github.com/fanwire/fanwire/internal/gateway/config"
	"github.com/fanwire/fanwire/node"
)

// Options are what the configuration does not say.
type Options struct {
	// Logger hears of logins and commands, [slog.Default] if nil.
	Logger *slog.Logger
}

// UI is the admin namespace of one node. Its methods are safe for concurrent use.
type UI struct {
	// Static after construction.
	cfg     config.AdminUI
	log     *slog.Logger
	hash    []byte
	verbose bool // development mode

	// Static after Mount.
	srv   *node.Server
	admin *node.Namespace
	done  context.CancelFunc
	ctx   context.Context // ends with Close
	tasks sync.WaitGroup

	mounted   atomic.Bool
	limits    limiter
	sessions  sessions
	watchers  watchers
	admins    admins
	feed      feed
	snapshots snapshots
	counters  counters
}

// Stats are counters, which only grow, and Admins, which is what is now.
type Stats struct {
	Admins         int    // connected to this node
	Logins         uint64 // by password or session
	LoginsRefused  uint64 // wrong ones
	LoginsLimited  uint64 // not even looked at, because there were too many wrong ones
	Commands       uint64
	EventsDropped  uint64 // events that admins were not told of, because there were too many
	ChangesDropped uint64 // the same for connections, rooms and the like; admins get all sockets anew
}

type counters struct {
	logins, refused, limited, commands atomic.Uint64
}

// New checks the configuration, of which Enabled is the caller's business, and
// reports everything that is wrong with it at once, each with its path. It starts
// nothing.
func New(cfg config.AdminUI, opts Options) (*UI, error) {
	ui := &UI{cfg: cfg, log: opts.Logger, hash: []byte(cfg.PasswordHash.Reveal())}
	if ui.log == nil {
		ui.log = slog.Default()
	}
	if err := errors.Join(ui.check()...); err != nil {
		return nil, err
	}
	ui.verbose = cfg.Mode == "development"
	return ui, nil
}

// maxCost is the largest cost of a password hash: a login with it takes seconds.
const maxCost = 16

func (ui *UI) check() (errs []error) {
	bad := func(path, format string, args ...any) {
		errs = append(errs, fmt.Errorf("admin_ui.%s: %s", path, fmt.Sprintf(format, args...)))
	}
	if name := ui.cfg.Namespace; len(name) < 2 || name[0] != '/' || strings.ContainsAny(name, ",?\x00") {
		bad("namespace", "%q is not a name like /admin", name)
	}
	if ui.cfg.Username == "" {
		bad("username", "missing")
	}
	switch cost, err := bcrypt.Cost(ui.hash); {
	case len(ui.hash) == 0:
		bad("password_hash", "missing: there is no default password")
	case err != nil:
		bad("password_hash", "not a bcrypt hash, as in $2b$10$...") // not err, which may quote it
	case cost > maxCost:
		bad("password_hash", "its cost is %d, %d at most", cost, maxCost)
	}
	if ui.cfg.Mode != "development" && ui.cfg.Mode != "production" {
		bad("mode", "%q is neither development nor production", ui.cfg.Mode)
	}
	if dir := ui.cfg.Dir; dir != "" {
		if _, err := os.Stat(filepath.Join(dir, "index.html")); err != nil {
			bad("dir", "%v", err)
		}
	}
	return errs
}

// Mount adds the namespace to a server that does not serve yet, before anybody else
// registers handlers: sockets are shown then as they were before. It starts
// goroutines, which [UI.Close] ends. It panics when it is called a second time.
func (ui *UI) Mount(srv *node.Server) {
	if ui.mounted.Swap(true) {
		panic("adminui: mounted twice")
	}
	ui.srv = srv
	ui.ctx, ui.done = context.WithCancel(context.Background())
	ui.admin = srv.Of(ui.cfg.Namespace)
	ui.limits.init()
	ui.sessions.init(ui)
	ui.watchers.init(ui)
	ui.admins.init(ui)
	ui.snapshots.init(ui)
	ui.feed.init(ui)

	ui.admin.Use(ui.login)
	ui.admin.OnConnect(ui.welcome)
	ui.admin.OnDisconnect(func(ctx context.Context, _ *node.Socket, _ node.Disconnect) { ui.watchers.left(ctx) })
	ui.registerCommands()
	if ui.verbose {
		ui.follow()
		ui.tasks.Go(ui.feed.run)
		ui.tasks.Go(ui.snapshots.run)
	}
	ui.tasks.Go(ui.tick)
}

// Close ends what Mount has started and returns when it has ended. The namespace
// stays; call it before the server's Shutdown, or after.
func (ui *UI) Close() {
	if !ui.mounted.Load() {
		return
	}
	ui.done()
	ui.tasks.Wait()
}

// Stats returns the counters as they are now.
func (ui *UI) Stats() Stats {
	return Stats{
		Admins:         ui.watchers.here(),
		Logins:         ui.counters.logins.Load(),
		LoginsRefused:  ui.counters.refused.Load(),
		LoginsLimited:  ui.counters.limited.Load(),
		Commands:       ui.counters.commands.Load(),
		EventsDropped:  ui.feed.eventsDropped.Load(),
		ChangesDropped: ui.feed.changesDropped.Load(),
	}
}

// adminData is the data of an admin's socket. Nothing of it is seen by others.
type adminData struct{ session string }

// welcome tells an admin who has come in what the server can do, and what there is.
func (ui *UI) welcome(ctx context.Context, s *node.Socket) error {
	if d, _ := node.Data[adminData](s); d.session != "" {
		if err := s.Emit(ctx, "session", d.session); err != nil {
			return err
		}
		s.SetData(adminData{})
	}
	if err := s.Emit(ctx, "config", map[string]any{"supportedFeatures": ui.features()}); err != nil {
		return err
	}
	if err := s.Join(ctx, adminRoom); err != nil {
		return err
	}
	ui.watchers.came(ctx)
	if ui.verbose {
		ui.snapshots.request(s)
	}
	return nil
}

// features are what the page offers.
func (ui *UI) features() []string {
	var list []string
	if !ui.cfg.ReadOnly {
		list = append(list, "EMIT", "JOIN", "LEAVE", "DISCONNECT", "MJOIN", "MLEAVE", "MDISCONNECT")
	}
	list = append(list, "AGGREGATED_EVENTS")
	if ui.verbose {
		list = append(list, "ALL_EVENTS")
	}
	return list
}
