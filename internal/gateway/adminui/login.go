package adminui

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/fanwire/fanwire/node"
)

// errCredentials has the official text, which the page knows.
var errCredentials = errors.New("invalid credentials")

// errLimited is for who tries too often, and while too many do.
var errLimited = errors.New("too many logins, try again later")

// maxPassword is how much of a password bcrypt looks at.
const maxPassword = 72

// loginWait is how long a login waits for others that are being checked.
const loginWait = 5 * time.Second

// errNotHere is what clients hear of a namespace that is not there.
var errNotHere = &node.ConnectError{Message: "Invalid namespace"}

// login lets in who knows the password or a session that it has given.
func (ui *UI) login(next node.ConnectFunc) node.ConnectFunc {
	return func(ctx context.Context, s *node.Socket) error {
		h := s.Handshake()
		address := h.Address
		if !h.Internal && !ui.cfg.Public {
			return errNotHere
		}
		err := ui.admit(ctx, s, address)
		switch {
		case err == nil:
			ui.counters.logins.Add(1)
			ui.log.Info("admin UI: login", "address", address)
			return next(ctx, s)
		case errors.Is(err, errLimited):
			ui.counters.limited.Add(1)
		default:
			ui.counters.refused.Add(1)
		}
		if n, ok := ui.limits.report(time.Now()); ok {
			ui.log.Warn("admin UI: logins refused", "count", n, "last_address", address)
		}
		return err
	}
}

func (ui *UI) admit(ctx context.Context, s *node.Socket, address string) error {
	var auth struct {
		SessionID          string `json:"sessionId"`
		Username, Password string
	}
	if s.Auth(&auth) != nil {
		return errCredentials
	}
	if auth.SessionID != "" && ui.sessions.known(auth.SessionID, time.Now()) {
		return nil
	}
	if !ui.limits.take(address, time.Now()) {
		return errLimited
	}
	if auth.SessionID != "" && ui.sessions.ask(ctx, auth.SessionID) {
		ui.limits.give(address)
		return nil
	}
	if auth.Username == "" && auth.Password == "" {
		return errCredentials
	}
	ok, err := ui.correct(ctx, auth.Username, auth.Password)
	if err != nil {
		return err
	}
	if !ok {
		return errCredentials
	}
	ui.limits.give(address)
	s.SetData(adminData{session: ui.sessions.add(ctx, time.Now())})
	return nil
}

// correct checks a name and a password. It takes as long for a wrong name, and one
// goes after the other: a crowd that guesses uses up one processor at most.
func (ui *UI) correct(ctx context.Context, username, password string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, loginWait)
	defer cancel()
	select {
	case ui.limits.checking <- struct{}{}:
		defer func() { <-ui.limits.checking }()
	case <-ctx.Done():
		return false, errLimited
	}
	name := subtle.ConstantTimeCompare([]byte(username), []byte(ui.cfg.Username)) == 1
	fits := bcrypt.CompareHashAndPassword(ui.hash, []byte(password[:min(len(password), maxPassword)])) == nil
	return name && fits, nil
}

// Bounds of wrong logins.
const (
	loginBurst    = 10              // of one address at once
	loginInterval = 6 * time.Second // after which one more is allowed
	maxAddresses  = 4096            // that are remembered
)

// limiter bounds the wrong logins of each address.
type limiter struct {
	checking chan struct{} // holds who checks a password

	mu         sync.Mutex // guards the fields below
	used       map[netip.Prefix]usage
	unreported int
	reported   time.Time
}

// usage is how many logins an address had used up at a time.
type usage struct {
	n  float64
	at time.Time
}

func (u usage) now(t time.Time) float64 {
	return max(u.n-float64(t.Sub(u.at))/float64(loginInterval), 0)
}

func (l *limiter) init() {
	l.checking = make(chan struct{}, 1)
	l.used = map[netip.Prefix]usage{}
}

// take uses up a login; false if there is none left.
func (l *limiter) take(address string, t time.Time) bool {
	key := network(address)
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.used[key].now(t)
	if n+1 > loginBurst {
		return false
	}
	if len(l.used) >= maxAddresses {
		l.forgetLocked(t)
	}
	l.used[key] = usage{n + 1, t}
	return true
}

// give returns the login that turned out to be right.
func (l *limiter) give(address string) {
	key := network(address)
	l.mu.Lock()
	defer l.mu.Unlock()
	if u, ok := l.used[key]; ok {
		u.n = max(u.n-1, 0)
		l.used[key] = u
	}
}

// forgetLocked makes room for many: what has recovered goes, then any.
func (l *limiter) forgetLocked(t time.Time) {
	for key, u := range l.used {
		if u.now(t) == 0 {
			delete(l.used, key)
		}
	}
	for key := range l.used {
		if len(l.used) <= maxAddresses/2 {
			return
		}
		delete(l.used, key)
	}
}

// report tells, at most once a second, how many logins were refused since.
func (l *limiter) report(t time.Time) (n int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unreported++
	if t.Sub(l.reported) < time.Second {
		return 0, false
	}
	n, l.unreported, l.reported = l.unreported, 0, t
	return n, true
}

// network is what one person has of addresses: an IPv4 address, or an IPv6 /64.
func network(address string) netip.Prefix {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return netip.Prefix{}
	}
	ip = ip.Unmap().WithZone("")
	bits := ip.BitLen()
	if bits == 128 {
		bits = 64
	}
	p, _ := ip.Prefix(bits) // bits fit
	return p
}
