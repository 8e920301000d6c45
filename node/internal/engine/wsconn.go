package engine

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
)

const (
	// writeTimeout is how long a peer may take no byte at all (HRD-35).
	writeTimeout = 10 * time.Second
	// closeTimeout is how long a peer may take to answer a close frame (HRD-37).
	closeTimeout = time.Second
	// flushTimeout bounds the delivery of what is queued at a graceful close.
	flushTimeout = 5 * time.Second
	// fragmentAllowance is what the framing of one message may cost besides its
	// bytes (HRD-31).
	fragmentAllowance = 256 << 10
)

// wsConn is the connection under a WebSocket, in two roles. It is the net.Conn
// that gorilla reads from and, for its control frames, writes to. And it holds
// what the session needs to know of its WebSocket.
//
// Reading takes a buffer from the pool for the time there are bytes in it.
// Before the reader waits for more, it writes what its session has queued.
// Whatever gorilla writes after the handshake joins the session's output, so
// that there is one writer (HRD-35).
type wsConn struct {
	net.Conn
	raw  syscall.RawConn // nil if writes may block
	gws  *websocket.Conn
	s    *Session // nil during the handshake
	read func(fd uintptr) bool

	// Reader only.
	rb      *readBuffer // nil while there are no unread bytes
	frames  frameTracker
	rbErr   error
	counted int // bytes since the last complete message
	pings   *bucket
	limits  *inputLimits
	runs    uint32 // of user code, times two: see inline.go

	// The hand-off of the reader's role: see inline.go.
	phase    atomic.Uint64
	detached atomic.Int32 // former readers still in Message
	watched  atomic.Bool

	// Guarded by the session's mutex.
	closeSent bool          // the last frame was queued
	peerGone  bool          // the peer's close frame has come, or its connection has ended
	pongWaits bool          // pongFrame is to be sent
	pongFrame []byte        // the newest WebSocket pong (HRD-34)
	idle      chan struct{} // closed when everything is written; made by who waits for that
}

func newWSConn(nc net.Conn) *wsConn {
	c := &wsConn{Conn: nc, raw: rawOf(nc)}
	c.read = c.readReady
	return c
}

var (
	errFragments  = errors.New("too many fragments")
	errWriteStall = errors.New("peer takes no data")
)

// Read is gorilla's.
func (c *wsConn) Read(p []byte) (n int, err error) {
	if c.rb == nil {
		c.beforeWait()
	}
	switch {
	case c.rb != nil:
	case c.raw == nil:
		n, err = c.Conn.Read(p)
		c.frames.observe(p[:n])
	default:
		err = c.fill()
	}
	if c.rb != nil {
		n = c.unread(p)
	}
	c.counted += n
	if err == nil && c.s != nil && c.counted > c.s.srv.cfg.MaxPayload+fragmentAllowance {
		err = errFragments // HRD-31
	}
	return n, err
}

// fill waits for bytes and leaves them in rb.
func (c *wsConn) fill() error {
	if err := c.raw.Read(c.read); err != nil {
		return err
	}
	if c.rb == nil || c.rb.to > 0 {
		return c.rbErr
	}
	readBuffers.Put(c.rb)
	c.rb = nil
	if c.rbErr != nil {
		return c.rbErr
	}
	return io.EOF
}

func (c *wsConn) unread(p []byte) int {
	n := c.frames.take(c.rb.data[c.rb.from:min(c.rb.to, c.rb.from+len(p))])
	copy(p[:n], c.rb.data[c.rb.from:])
	c.rb.from += n
	if c.rb.from == c.rb.to {
		readBuffers.Put(c.rb)
		c.rb = nil
	}
	return n
}

// await waits for the next message to begin. Between messages gorilla holds no
// bytes, so waiting here is the same as in its Read, but with a stack that is
// small enough for the smallest size.
func (c *wsConn) await() error {
	if c.rb != nil || c.raw == nil {
		return nil
	}
	c.beforeWait()
	return c.fill()
}

// beforeWait writes what the session has queued, while the reader is awake
// anyway.
func (c *wsConn) beforeWait() {
	if c.s != nil {
		c.s.flush()
	}
}

// Write is gorilla's: during the handshake it is the response, later a control
// frame, which joins the session's output.
func (c *wsConn) Write(p []byte) (int, error) {
	if c.s == nil {
		return c.Conn.Write(p)
	}
	c.s.mu.Lock()
	if c.closeSent { // nothing follows the last frame
		c.s.mu.Unlock()
		return len(p), nil
	}
	if p[0] == opClose {
		c.addCloseLocked(gorillaClose(p))
	} else {
		c.s.out.addFrames(append([]byte(nil), p...))
	}
	list := c.s.wakeLocked()
	c.s.unlock(list)
	return len(p), nil
}

// gorillaClose returns code and text of a close frame of gorilla's, in our words.
func gorillaClose(frame []byte) (code int, text string) {
	if len(frame) < 4 {
		return 0, ""
	}
	code, text = int(binary.BigEndian.Uint16(frame[2:])), string(frame[4:])
	switch {
	case code == closeTooBig:
		text = errTooBig.Error() // HRD-30
	case text == "invalid utf8 payload in close frame":
		code = closeBadText // HRD-33
	}
	return code, text
}

// addCloseLocked queues the last frame, unless that was done.
func (c *wsConn) addCloseLocked(code int, text string) {
	if c.closeSent {
		return
	}
	c.closeSent = true
	c.pongWaits = false // nothing follows
	c.s.out.addFrames(appendCloseFrame(nil, code, text))
}

// SetWriteDeadline is gorilla's; writes have deadlines of their own.
func (c *wsConn) SetWriteDeadline(t time.Time) error {
	if c.s == nil {
		return c.Conn.SetWriteDeadline(t)
	}
	return nil
}

// writeSome writes what the kernel takes at once.
func (c *wsConn) writeSome(b *frameBuffer) (int, error) {
	return writeRaw(c.raw, b, 0, false)
}

// writeAll writes b from off on and waits for the peer where it must. It fails
// when the peer takes no byte for the write timeout. progress hears how many
// bytes are left.
func (c *wsConn) writeAll(b *frameBuffer, off int, progress func(rest int)) error {
	defer func() { _ = c.Conn.SetWriteDeadline(time.Time{}) }()
	var pieces [][]byte
	for off < b.size {
		// The deadline is renewed while bytes move: a slow link is not a stopped
		// reader.
		if err := c.Conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return err
		}
		n, err := 0, error(nil)
		if c.raw != nil {
			n, err = writeRaw(c.raw, b, off, true)
		} else {
			pieces = b.pieces(pieces[:0], off)
			n, err = c.Conn.Write(pieces[0][:min(len(pieces[0]), 16<<10)])
		}
		off += n
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return errWriteStall
		}
		if err != nil {
			return err
		}
		progress(b.size - off)
	}
	return nil
}

// writeFailed ends the session whose connection cannot be written any more.
func (c *wsConn) writeFailed(err error) {
	if errors.Is(err, errWriteStall) {
		c.s.closeSlow()
	} else {
		c.s.fail(ReasonTransportError, err)
	}
	c.wakeReader(0)
}

// expectEnd gives the peer its time to answer the close frame, and to take what
// is queued before it unless everything was discarded. The reader ends the
// connection.
func (c *wsConn) expectEnd(discarded bool) {
	d := flushTimeout + closeTimeout
	if discarded {
		d = closeTimeout
	}
	c.wakeReader(d)
}

// lastFrameSent is called when the close frame has left.
func (c *wsConn) lastFrameSent() {
	if c.peerGone {
		c.wakeReader(0)
		return
	}
	c.wakeReader(closeTimeout)
}

// wakeReader lets the reader's wait end after d at the latest.
func (c *wsConn) wakeReader(d time.Duration) {
	_ = c.Conn.SetReadDeadline(time.Now().Add(d)) // fails on a closed connection only
}
