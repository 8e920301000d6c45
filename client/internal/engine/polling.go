package engine

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/fanwire/fanwire/protocol/engineio"
)

const pollError = "xhr poll error"

var errNoHandshake = errors.New("no handshake in the first packet")

// target is the URL of a request: the configured query, then ours, which wins.
func (c *Conn) target(transport string) *url.URL {
	u := *c.cfg.URL
	q := u.Query()
	maps.Copy(q, c.cfg.PerTransport[transport].Query)
	q.Set("EIO", "4")
	q.Set("transport", transport)
	q.Del("sid")
	if c.handshake.SID != "" {
		q.Set("sid", c.handshake.SID)
	}
	if c.cfg.StampPolling && transport == Polling || c.cfg.StampWebSocket && transport == WebSocket {
		q.Set(c.cfg.StampParam, strconv.FormatUint(uint64(rand.Uint32()), 36)) // EIO-J-03
	}
	if c.cfg.ForceBase64 && (transport == WebSocket || c.handshake.SID == "") {
		q.Set("b64", "1") // as the official client does
	}
	u.RawQuery = q.Encode()
	return &u
}

// header is what every request of a transport gets.
func (c *Conn) header(transport string) http.Header {
	extra := c.cfg.PerTransport[transport].Header
	if len(extra) == 0 {
		return c.cfg.Header
	}
	h := c.cfg.Header.Clone()
	if h == nil {
		h = make(http.Header)
	}
	for name, values := range extra {
		h[http.CanonicalHeaderKey(name)] = values
	}
	return h
}

// openPolling sends the handshake request; ctx bounds it.
func (c *Conn) openPolling(ctx context.Context) error {
	body, err := c.request(ctx, http.MethodGet, nil, pollError)
	if err != nil {
		return err
	}
	packets := slices.Collect(engineio.SplitPayload(body))
	if err := c.openPacket(packets[0]); err != nil {
		return transportError(pollError, err)
	}
	c.early = packets[1:]
	return nil
}

func (c *Conn) openPacket(data []byte) error {
	p, err := engineio.DecodeText(data)
	if err != nil {
		return err
	}
	if p.Type != engineio.Open || p.Binary {
		return errNoHandshake
	}
	c.handshake, err = engineio.ParseHandshake(p.Data)
	return err
}

// poll sends one GET and handles what comes back.
func (c *Conn) poll() {
	body, err := c.request(c.ctx, http.MethodGet, nil, pollError)
	if err != nil {
		c.end(ReasonTransportError, err)
		return
	}
	for data := range engineio.SplitPayload(body) {
		if c.receiveText(data, false); c.isEnded() {
			return
		}
	}
}

// post sends a batch. After the last packet of a session it ends it.
func (c *Conn) post(batch []item) {
	_, err := c.request(c.ctx, http.MethodPost, payload(batch), "xhr post error")
	if err != nil {
		c.end(ReasonTransportError, err)
		return
	}
	if last := batch[len(batch)-1]; string(last.Data) == "1" && !last.Binary {
		c.end(ReasonForcedClose, nil)
	}
}

// request does one HTTP exchange and returns the body.
func (c *Conn) request(ctx context.Context, method string, body []byte, message string) ([]byte, error) {
	if c.cfg.RequestTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.cfg.RequestTimeout)
		defer cancel()
	}
	req, err := http.NewRequestWithContext(ctx, method, c.target(Polling).String(), bytes.NewReader(body))
	if err != nil {
		return nil, transportError(message, err)
	}
	if method == http.MethodGet {
		req.Body, req.GetBody = onceOnly{}, nil
	}
	req.Header.Set("Accept", "*/*")
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "text/plain;charset=UTF-8")
	}
	for name, values := range c.header(Polling) {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	res, err := c.cfg.HTTP.Do(req)
	if err != nil {
		return nil, transportError(message, withoutURL(err))
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, int64(c.cfg.MaxMessage)+1))
	switch {
	case err != nil:
		return nil, transportError(message, err)
	case res.StatusCode != http.StatusOK:
		return nil, refusal(message, res.StatusCode, answer)
	case len(answer) > c.cfg.MaxMessage:
		return nil, transportError(message, fmt.Errorf("body over %d bytes", c.cfg.MaxMessage))
	}
	return answer, nil
}

// onceOnly is the empty body of a GET. It keeps net/http from sending the request
// again, silently, when the connection breaks: what the server had answered to
// the first one would be lost, and nobody would know.
type onceOnly struct{}

func (onceOnly) Read([]byte) (int, error) { return 0, io.EOF }

func (onceOnly) Close() error { return nil }

// withoutURL takes the URL, which holds the secret sid, off an error of net/http.
func withoutURL(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// encodedLen is the length of an item in a payload.
func encodedLen(i item) int {
	if i.Binary {
		return 1 + base64.StdEncoding.EncodedLen(len(i.Data))
	}
	return len(i.Data)
}

// fitting tells how many items make a payload of at most limit bytes; one does
// in any case (EIO-J-04). Without a limit all do.
func fitting(items []item, limit int) int {
	size := encodedLen(items[0])
	for n, i := range items[1:] {
		if size += 1 + encodedLen(i); limit > 0 && size > limit {
			return n + 1
		}
	}
	return len(items)
}

func payload(items []item) []byte {
	size := len(items)
	for _, i := range items {
		size += encodedLen(i)
	}
	body := make([]byte, 0, size)
	for n, i := range items {
		if n > 0 {
			body = append(body, 0x1e)
		}
		if i.Binary {
			body = engineio.AppendText(body, engineio.Packet{Type: engineio.Message, Binary: true, Data: i.Data})
		} else {
			body = append(body, i.Data...)
		}
	}
	return body
}
