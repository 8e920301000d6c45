package identity

import (
	"bytes"
	"container/heap"
	"context"
	"sync"
	"time"

	"github.com/fanwire/fanwire/node"
)

// AuthEvent is the event by which a client brings a new token, its only argument.
const AuthEvent = "fanwire:auth"

// Times of a [Sentry].
const (
	clockEvery = time.Second            // the wall clock is looked at, since it can be set (HRD-77)
	scanPause  = 500 * time.Millisecond // at most, between two looks at all sockets
	closeBatch = 1000
)

// Sentry watches the clients that are connected: it closes them when their token has
// expired, the grace is over and they have brought no new one ([Sentry.Refresh]), and
// when their token is revoked. They are closed so that official clients connect again
// (HRD-53), with a fresh token if they have one. One goroutine and one timer serve all
// of them. All methods are safe for concurrent use.
type Sentry struct {
	// Static after construction.
	srv      *node.Server
	verifier *Verifier
	revs     *Revocations // may be nil
	now      func() time.Time
	wake     chan struct{}
	ctx      context.Context
	stop     context.CancelFunc
	wg       sync.WaitGroup

	mu    sync.Mutex // guards the fields below
	ends  endHeap
	byOwn map[*node.Socket]*watched
}

// watched is a socket whose token ends.
type watched struct {
	socket *node.Socket
	ends   int64 // by the wall clock, in ms
	pos    int   // in the heap
}

// NewSentry makes a Sentry for the sockets of a server, with the clock and the
// revocations of the verifier.
func NewSentry(srv *node.Server, v *Verifier) *Sentry {
	ctx, stop := context.WithCancel(context.Background())
	return &Sentry{
		srv: srv, verifier: v, revs: v.opts.Revocations, now: v.opts.Now,
		wake: make(chan struct{}, 1), ctx: ctx, stop: stop,
		byOwn: make(map[*node.Socket]*watched),
	}
}

// Start begins to close clients. It is called once.
func (s *Sentry) Start() { s.wg.Go(s.run) } // ends with Close, which waits

// Close ends what Start began, and waits for it.
func (s *Sentry) Close() {
	s.stop()
	s.wg.Wait()
}

// Watch begins to watch a socket that is connected, or takes note of what has changed
// in its [Client]. It belongs into OnConnect, which is called for recovered sockets
// too; if the client was revoked since its token was checked, it is closed.
func (s *Sentry) Watch(socket *node.Socket) {
	c, ok := node.Data[Client](socket)
	if !ok {
		return
	}
	if s.revoked(socket, &c) {
		socket.CloseSession(ErrRevoked)
		return
	}
	s.set(socket, c.Expires)
}

// Forget ends the watch over a socket. It belongs into OnDisconnect.
func (s *Sentry) Forget(socket *node.Socket) { s.set(socket, time.Time{}) }

// Len returns the number of sockets that are watched.
func (s *Sentry) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ends)
}

// set notes when the token of a socket ends; zero: never.
func (s *Sentry) set(socket *node.Socket, ends time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.byOwn[socket]
	switch {
	case ends.IsZero() && w == nil:
		return
	case ends.IsZero():
		heap.Remove(&s.ends, w.pos)
		delete(s.byOwn, socket)
		return
	case w == nil:
		w = &watched{socket: socket, ends: ends.UnixMilli()}
		s.byOwn[socket] = w
		heap.Push(&s.ends, w)
	default:
		w.ends = ends.UnixMilli()
		heap.Fix(&s.ends, w.pos)
	}
	if w.pos == 0 {
		signal(s.wake)
	}
}

// Refresh gives a client a new token. It must be valid for the user of its old one
// and for the namespace. Rooms that it names are not joined: that happens when a
// client connects. The client's sockets in other namespaces that came with the same
// old token get the new one too, where it is good for them. The error is an [*Error].
//
// It may block as [Verifier.Verify] does.
func (s *Sentry) Refresh(ctx context.Context, socket *node.Socket, token string) error {
	g, err := s.verifier.Verify(ctx, token)
	if err != nil {
		return err
	}
	c, _ := node.Data[Client](socket)
	before, err := s.verifier.read(c.Claims)
	switch {
	case !c.hasToken():
		return invalid("the client has come without one")
	case err != nil:
		return err
	case g.User != before.User:
		return invalid("it is for another user")
	case !g.In(socket.Namespace().Name()):
		return invalid("it is not for this namespace")
	}
	s.renew(socket, c.Claims, &before, &g)
	for peer := range socket.Peers() {
		if g.In(peer.Namespace().Name()) {
			s.renew(peer, c.Claims, &before, &g)
		}
	}
	return nil
}

// renew gives a socket a new token if it still has the old one.
func (s *Sentry) renew(socket *node.Socket, old []byte, before, g *Grant) {
	done := false
	Update(socket, func(c Client) Client {
		if !bytes.Equal(c.Claims, old) {
			return c
		}
		done = true
		return c.renewed(before, g)
	})
	if done && socket.Connected() {
		s.Watch(socket)
	}
}

// Readmit decides on a client that recovers, in a middleware (RunMiddlewares of
// [node.Recovery]): its data is that of its old life, in which its token may have
// expired. It gets the token that it brings now; without one the old one must still be
// good. With an error, an [*Error], the client is to be looked at as a new one
// ([node.ErrBeginAnew]).
func (s *Sentry) Readmit(ctx context.Context, socket *node.Socket) error {
	c, ok := node.Data[Client](socket)
	if !ok {
		return nil
	}
	if s.revoked(socket, &c) {
		return ErrRevoked
	}
	token, err := Token(socket)
	switch {
	case err == nil:
		if err := s.Refresh(ctx, socket, token); err != nil {
			return err
		}
		c, _ = node.Data[Client](socket)
	case CodeOf(err) != Missing:
		return err
	}
	if !c.Expires.IsZero() && !s.now().Before(c.Expires) {
		return ErrExpired
	}
	return nil
}

func (s *Sentry) revoked(socket *node.Socket, c *Client) bool {
	return s.revs != nil && s.revs.known.hit(c, s.now(), func() time.Time { return socket.Handshake().Time })
}

// run closes who is to be closed, until Close.
func (s *Sentry) run() {
	var changed <-chan struct{} // somebody was revoked
	if s.revs != nil {
		changed = s.revs.changed
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	listen := changed
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.wake:
		case <-timer.C:
		case <-pause.C:
			listen = changed
			continue
		case <-listen:
			listen = nil
			pause.Reset(s.scan())
			continue
		}
		if wait, some := s.expire(); some {
			timer.Reset(wait)
		}
	}
}

// expire closes those whose time is over, and tells when to look again, if anybody
// is left.
func (s *Sentry) expire() (wait time.Duration, some bool) {
	var due []*node.Socket
	grace := s.verifier.Grace()
	s.mu.Lock()
	until := s.now().Add(-grace).UnixMilli()
	for len(s.ends) > 0 && s.ends[0].ends <= until && len(due) < closeBatch {
		w := heap.Pop(&s.ends).(*watched)
		delete(s.byOwn, w.socket)
		due = append(due, w.socket)
	}
	if some = len(s.ends) > 0; some {
		wait = min(max(time.Duration(s.ends[0].ends-until)*time.Millisecond, 0), clockEvery)
	}
	s.mu.Unlock()
	for _, socket := range due {
		// Somebody may have changed it without telling.
		if c, ok := node.Data[Client](socket); ok && c.Expires.UnixMilli() > until {
			s.set(socket, c.Expires)
			continue
		}
		socket.CloseSession(ErrExpired)
	}
	return wait, some
}

// scan closes the clients that are revoked, and tells how long to wait before the
// next time: many revocations must not keep a processor busy.
func (s *Sentry) scan() (pause time.Duration) {
	begin := time.Now()
	for _, ns := range s.srv.Namespaces() {
		for socket := range ns.LocalSockets() {
			if c, ok := node.Data[Client](socket); ok && s.revoked(socket, &c) {
				socket.CloseSession(ErrRevoked)
			}
		}
	}
	return min(10*time.Since(begin), scanPause)
}

// endHeap has the socket whose token ends first on top.
type endHeap []*watched

func (h endHeap) Len() int           { return len(h) }
func (h endHeap) Less(i, j int) bool { return h[i].ends < h[j].ends }
func (h endHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = i, j
}

func (h *endHeap) Push(x any) {
	w := x.(*watched)
	w.pos = len(*h)
	*h = append(*h, w)
}

func (h *endHeap) Pop() any {
	old := *h
	w := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return w
}
