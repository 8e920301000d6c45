package servecmd

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// handshakePause is the time between two tries.
	handshakePause = 500 * time.Millisecond
	// maxHandshake bounds what is read of an answer.
	maxHandshake = 64 << 10
)

// Handshake is the command `fanwire handshake`, for kong: it opens a session as a client
// does, and closes it.
type Handshake struct {
	URL      string        `arg:"" help:"Where clients connect, as in http://127.0.0.1:3000. Without a path it is /socket.io/."`
	Insecure bool          `help:"Take any certificate."`
	Timeout  time.Duration `help:"How long it is tried." default:"10s" placeholder:"DURATION"`
}

// Run tries until there is a session or the time is over, and prints one line.
func (c *Handshake) Run(ctx context.Context, out io.Writer) error {
	if c.Timeout <= 0 {
		return errors.New("--timeout: must be more than 0")
	}
	at, err := url.Parse(c.URL)
	if err != nil || at.Scheme != "http" && at.Scheme != "https" || at.Host == "" {
		return errors.New("URL: must begin with http:// or https:// and have a host")
	}
	if at.Path == "" || at.Path == "/" {
		at.Path = "/socket.io/"
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: c.Insecure} //nolint:gosec // asked for
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	var last error
	for {
		sid, err := handshake(ctx, client, *at)
		if err == nil {
			_, err = fmt.Fprintf(out, "%s: session %s opened and closed\n", at.Redacted(), short(sid))
			return err
		}
		if last == nil || ctx.Err() == nil { // that of a try that was cut off says less
			last = err
		}
		select {
		case <-time.After(handshakePause):
		case <-ctx.Done():
			return fmt.Errorf("no session within %v: %w", c.Timeout, last)
		}
	}
}

// handshake opens a polling session and closes it.
func handshake(ctx context.Context, client *http.Client, at url.URL) (sid string, err error) {
	query := url.Values{"EIO": {"4"}, "transport": {"polling"}}
	at.RawQuery = query.Encode()
	body, err := exchange(ctx, client, http.MethodGet, at.String(), nil)
	if err != nil {
		return "", err
	}
	var open struct {
		SID string `json:"sid"`
	}
	packet, found := bytes.CutPrefix(body, []byte("0")) // the packet "open"
	if !found || json.Unmarshal(packet, &open) != nil || open.SID == "" {
		return "", errors.New("the answer is no handshake of Engine.IO")
	}
	query.Set("sid", open.SID)
	at.RawQuery = query.Encode()
	_, err = exchange(ctx, client, http.MethodPost, at.String(), strings.NewReader("1")) // the packet "close"
	return open.SID, err
}

func exchange(ctx context.Context, client *http.Client, method, at string, body io.Reader) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, at, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "text/plain;charset=UTF-8")
	}
	answer, err := client.Do(r)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // the address has the session's id in it
		}
		return nil, err
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(io.LimitReader(answer.Body, maxHandshake))
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s is answered with %s", method, answer.Status)
	}
	return data, nil
}

// short is what may be shown of a session's id, which is a secret.
func short(sid string) string { return sid[:min(6, len(sid))] }
