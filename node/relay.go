package node

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

// relayBody is the body of a POST on its way through. It is bounded like one that
// is read here: by size, and by time, which grows with what has come (HRD-10). It
// gives some more time than the owner, so that the owner's word comes first.
type relayBody struct {
	body  io.Reader
	rc    *http.ResponseController
	limit int64
	want  int64 // the size the client told, -1 if it has not
	start time.Time

	mu     sync.Mutex // guards the fields below; not held while reading
	got    int64
	closed bool
	err    error // what ended the reading
}

const (
	relayBodyTime  = 17 * time.Second
	relayBodyRate  = 16 << 10 // bytes for one second more
	relayWriteTime = 10 * time.Second
	relayRestTime  = 2 * time.Second
)

var (
	errBodyTooBig = errors.New("body too big")
	errBodyEnded  = errors.New("body is not wanted any more")
)

func newRelayBody(w http.ResponseWriter, r *http.Request, limit int64) *relayBody {
	return &relayBody{body: r.Body, rc: http.NewResponseController(w), limit: limit, want: r.ContentLength, start: time.Now()}
}

func (b *relayBody) Read(p []byte) (int, error) {
	if err := b.before(); err != nil {
		return 0, err
	}
	n, err := b.body.Read(p)
	return b.after(n, err)
}

func (b *relayBody) before() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return errBodyEnded
	}
	extra := time.Duration(b.got/relayBodyRate) * time.Second
	_ = b.rc.SetReadDeadline(b.start.Add(relayBodyTime + extra)) // not every writer has one
	return nil
}

func (b *relayBody) after(n int, err error) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got += int64(n)
	if b.got > b.limit {
		n, err = 0, errBodyTooBig
	}
	if err == io.EOF && !b.closed {
		_ = b.rc.SetReadDeadline(time.Time{})
	}
	if err != nil && b.err == nil && !b.closed {
		b.err = err
	}
	return n, err
}

// Close is called by net/http when the owner has what it wants. The client's body
// stays the server's.
func (b *relayBody) Close() error { return nil }

// end stops the reading; the status is for a client whose body is at fault.
func (b *relayBody) end() (status int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	switch {
	case b.err == errBodyTooBig: // net/http reads some of the rest, or the client would have a broken connection before the answer
		_ = b.rc.SetReadDeadline(time.Now().Add(relayRestTime))
	case b.err != io.EOF && b.got != b.want:
		_ = b.rc.SetReadDeadline(time.Unix(1, 0)) // whoever reads wakes
	}
	switch {
	case b.err == errBodyTooBig:
		return http.StatusRequestEntityTooLarge
	case errors.Is(b.err, os.ErrDeadlineExceeded):
		return http.StatusRequestTimeout
	}
	return 0
}

// lost tells that the client's connection has failed.
func (b *relayBody) lost() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err != nil && b.err != io.EOF
}

// read tells that the body has come to its end.
func (b *relayBody) read() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err == io.EOF || b.got == b.want
}

// relayLeave is how long requests that are handed on may take once Shutdown has
// begun.
const relayLeave = time.Second

// relayAgain is how long an owner that was asked for an answer to a poll may take
// before it is asked again: the question may overtake the poll, which comes on another
// connection.
const relayAgain = 100 * time.Millisecond

// leaveOnShutdown ends the request soon after Shutdown has begun: a poll by asking
// the owner for an answer, so that its client polls anew, elsewhere, and loses
// nothing; by cancel what has no answer then. The function it returns ends the
// watch.
func (h *handover) leaveOnShutdown(cancel context.CancelFunc) (stay func()) {
	over := make(chan struct{})
	left := make(chan struct{})
	stop := context.AfterFunc(h.f.srv.starting, func() {
		defer close(left)
		defer cancel()
		ctx, done := context.WithTimeout(context.Background(), relayLeave)
		defer done()
		for h.r.Method == http.MethodGet && ctx.Err() == nil {
			if res, err := h.f.transport.RoundTrip(h.request(http.MethodDelete).WithContext(ctx)); err == nil {
				_ = res.Body.Close()
			}
			select {
			case <-over:
				return
			case <-time.After(relayAgain):
			}
		}
		select {
		case <-over:
		case <-ctx.Done():
		}
	})
	return func() {
		close(over)
		if !stop() {
			<-left
		}
	}
}

// answer passes the owner's answer on. Its headers take the place of those that
// were set here: both nodes have judged the origin.
func (h *handover) answer(res *http.Response) {
	defer res.Body.Close()
	header := h.w.Header()
	copyEndToEnd(header, res.Header)
	if h.body != nil && !h.body.read() { // the owner has answered without it
		h.body.end()
		header.Set("Connection", "close")
	}
	rc := http.NewResponseController(h.w)
	_ = rc.SetWriteDeadline(time.Now().Add(relayWriteTime)) // as for a poll of our own
	h.w.WriteHeader(res.StatusCode)
	if _, err := io.Copy(h.w, res.Body); err != nil {
		h.f.cut.Add(1)
		panic(http.ErrAbortHandler) // the client must not take a part for the whole
	}
}
