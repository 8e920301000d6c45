// Package agent lets one command lead generators on other machines: an agent waits for a
// coordinator, both prove that they have the same token, the coordinator measures how
// far the agent's clock is off, and then they speak as package remote does.
//
// The token itself is never sent: each side answers the other's challenge. What follows
// is not encrypted, and has the secrets of the plan in it.
package agent

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	leastToken    = 16 // bytes
	handshakeWait = 10 * time.Second
	maxGreeting   = 4 << 10 // bytes of a line before the other side is known
	maxStrangers  = 8       // connections that are not known yet, at a time
	pings         = 9
)

// ErrToken says that the two sides do not have the same token.
var ErrToken = errors.New("the other side does not have the same token")

// greeting is a line of the handshake.
type greeting struct {
	Nonce string    `json:"nonce,omitempty"`
	MAC   []byte    `json:"mac,omitempty"`
	Busy  bool      `json:"busy,omitempty"`
	Ping  int       `json:"ping,omitempty"`
	Time  time.Time `json:"time,omitzero"`
	Begin bool      `json:"begin,omitempty"`
}

// ReadToken reads the token from a file or, without one, takes the one given. An empty
// one is none.
func ReadToken(file, given string) (string, error) {
	if file != "" {
		f, err := os.Open(file)
		if err != nil {
			return "", err
		}
		defer f.Close()
		data, err := io.ReadAll(io.LimitReader(f, maxGreeting))
		if err != nil {
			return "", err
		}
		given = strings.TrimSpace(string(data))
		if given == "" {
			return "", fmt.Errorf("%s: it is empty", file)
		}
	}
	if given != "" && len(given) < leastToken {
		return "", fmt.Errorf("the token of agents must have %d bytes at least", leastToken)
	}
	return given, nil
}

// Listen opens the port of an agent. Without a token that is a loopback address only: an
// agent makes load on command.
func Listen(address, token string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("%q is not host:port", address)
	}
	if ip := net.ParseIP(host); token == "" && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, errors.New("without a token an agent listens on loopback addresses only: whoever reaches it makes load from this machine")
	}
	return net.Listen("tcp", address)
}

func mac(token, role, a, b string) []byte {
	h := hmac.New(sha256.New, []byte(token))
	_, _ = io.WriteString(h, "fanwire loadtest agent\x00"+role+"\x00"+a+"\x00"+b) // hashes take all
	return h.Sum(nil)
}

// Serve answers coordinators until ctx ends: task gets the stream of one after the other;
// who comes meanwhile hears that the agent is busy. say hears of what happens, and may be
// called concurrently.
func Serve(ctx context.Context, l net.Listener, token string, task func(ctx context.Context, in io.Reader, out io.Writer) error, say func(string)) {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	slots := make(chan struct{}, maxStrangers)
	var busy sync.Mutex
	var tasks sync.WaitGroup
	defer tasks.Wait()
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			time.Sleep(50 * time.Millisecond) // out of files, say
			continue
		}
		select {
		case slots <- struct{}{}:
		default:
			conn.Close()
			continue
		}
		tasks.Go(func() {
			defer conn.Close()
			in, err := welcome(conn, token, &busy)
			<-slots
			if err != nil {
				say(fmt.Sprintf("%s was turned away: %v", conn.RemoteAddr(), err))
				return
			}
			defer busy.Unlock()
			say(fmt.Sprintf("%s leads a test", conn.RemoteAddr()))
			if err := task(ctx, in, conn); err != nil {
				say(fmt.Sprintf("the test of %s: %v", conn.RemoteAddr(), err))
				return
			}
			say(fmt.Sprintf("the test of %s is over", conn.RemoteAddr()))
		})
	}
}

// welcome is the agent's side of the handshake. When there is no error busy is locked.
func welcome(conn net.Conn, token string, busy *sync.Mutex) (io.Reader, error) {
	_ = conn.SetDeadline(time.Now().Add(handshakeWait))
	in, out := bufio.NewReaderSize(conn, 64<<10), json.NewEncoder(conn)
	mine := rand.Text()
	if err := out.Encode(greeting{Nonce: mine}); err != nil {
		return nil, err
	}
	hello, err := read(in)
	if err != nil {
		return nil, err
	}
	if !hmac.Equal(hello.MAC, mac(token, "coordinator", mine, hello.Nonce)) {
		return nil, ErrToken
	}
	free := busy.TryLock()
	if err := out.Encode(greeting{MAC: mac(token, "agent", hello.Nonce, mine), Busy: !free}); err != nil || !free {
		if free {
			busy.Unlock()
		}
		return nil, errors.Join(err, errors.New("another test is running"))
	}
	for range pings + 1 {
		g, err := read(in)
		if err == nil && g.Begin {
			_ = conn.SetDeadline(time.Time{})
			return in, nil
		}
		if err == nil {
			err = out.Encode(greeting{Ping: g.Ping, Time: time.Now()})
		}
		if err != nil {
			busy.Unlock()
			return nil, err
		}
	}
	busy.Unlock()
	return nil, errors.New("it does not begin")
}

// read reads a short line.
func read(in *bufio.Reader) (g greeting, err error) {
	var line []byte
	for {
		c, err := in.ReadByte()
		if err != nil {
			return g, err
		}
		if c == '\n' {
			break
		}
		if line = append(line, c); len(line) > maxGreeting {
			return g, errors.New("a greeting is too long")
		}
	}
	if json.Unmarshal(line, &g) != nil {
		return g, errors.New("it is no agent and no coordinator")
	}
	return g, nil
}

// Conn is a coordinator's connection to an agent.
type Conn struct {
	net.Conn
	In io.Reader // what comes
	// Offset is what the agent's clock is ahead of ours, to within Error.
	Offset, Error time.Duration
}

// Dial connects to an agent. It takes at most as long as ctx, and some seconds.
func Dial(ctx context.Context, address, token string) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeWait)
	defer cancel()
	d := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 5 * time.Second, Count: 3}}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	c := &Conn{Conn: conn}
	err = c.greet(token)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

func (c *Conn) greet(token string) error {
	in, out := bufio.NewReaderSize(c.Conn, 64<<10), json.NewEncoder(c.Conn)
	hello, err := read(in)
	if err != nil {
		return err
	}
	mine := rand.Text()
	if err := out.Encode(greeting{Nonce: mine, MAC: mac(token, "coordinator", hello.Nonce, mine)}); err != nil {
		return err
	}
	answer, err := read(in)
	switch {
	case errors.Is(err, io.EOF):
		return ErrToken
	case err != nil:
		return err
	case !hmac.Equal(answer.MAC, mac(token, "agent", mine, hello.Nonce)):
		return ErrToken
	case answer.Busy:
		return errors.New("another test is running there")
	}
	best := time.Hour
	for i := range pings {
		sent := time.Now()
		if err := out.Encode(greeting{Ping: i + 1}); err != nil {
			return err
		}
		g, err := read(in)
		if err != nil {
			return err
		}
		if trip := time.Since(sent); trip < best { // it was read somewhere within the trip
			best = trip
			c.Error = trip / 2
			c.Offset = g.Time.Sub(sent.Add(trip / 2))
		}
	}
	c.In = in
	return out.Encode(greeting{Begin: true})
}
