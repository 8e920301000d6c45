package webhook

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"time"
)

// maxAnswer is the largest answer (HRD-83).
const maxAnswer = 64 << 10

// failure is why a try has brought no answer that could be read.
type failure struct {
	err   error
	retry bool   // another try may help
	sent  bool   // the backend may have got the request
	fault result // what it says of the backend
}

// result is what a try says of the backend.
type result uint8

const (
	unknown result = iota // nothing
	alive                 // it answers
	down                  // it does not, or not well
)

// result of a try; nil is an answer.
func (f *failure) result() result {
	if f == nil {
		return alive
	}
	return f.fault
}

// again tells whether a request of that type may be tried again.
func (f *failure) again(t Type, retryEvents bool) bool {
	return f.retry && (t != Event || !f.sent || retryEvents)
}

// exchange sends the request and reads the answer of a 2xx.
func (h *Hook) exchange(ctx context.Context, req *Request, body []byte) ([]byte, *failure) {
	sent := false // getting a connection is a part of RoundTrip: no other goroutine
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent = true }})
	hr, err := http.NewRequestWithContext(traced, http.MethodPost, h.url, bytes.NewReader(body))
	if err != nil {
		return nil, &failure{err: errURL}
	}
	h.setHeader(ctx, hr.Header, req.ID, body)
	resp, err := h.transport.RoundTrip(hr)
	if err != nil {
		return nil, connectionFailure(ctx, err, sent)
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, statusFailure(resp)
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, connectionFailure(ctx, err, true)
	}
	if problem := problemOf(resp, answer); problem != "" {
		return nil, &failure{err: &AnswerError{problem}, fault: alive}
	}
	return answer, nil
}

func (h *Hook) setHeader(ctx context.Context, header http.Header, id string, body []byte) {
	if h.options.Inject != nil {
		h.options.Inject(ctx, header)
	}
	now := time.Now() // of this try: verifiers allow five minutes
	header["Content-Type"] = []string{"application/json"}
	header["Accept"] = []string{"application/json"}
	header["User-Agent"] = []string{h.options.UserAgent}
	header["Webhook-Id"] = []string{id}
	header["Webhook-Timestamp"] = []string{strconv.FormatInt(now.Unix(), 10)}
	header["Webhook-Signature"] = []string{sign(h.keys, id, now, body)}
}

// connectionFailure is what an error of the connection, or the end of ctx, means.
func connectionFailure(ctx context.Context, err error, sent bool) *failure {
	switch cause := context.Cause(ctx); {
	case cause == nil:
	case errors.Is(cause, ErrTimeout):
		return &failure{err: ErrTimeout, sent: sent, fault: down}
	default: // the caller has lost its interest
		return &failure{err: cause, sent: sent}
	}
	if errors.Is(err, ErrAddress) {
		return &failure{err: err}
	}
	return &failure{err: err, retry: true, sent: sent, fault: down}
}

// statusFailure is what another status than 2xx means. A redirect is not followed:
// whoever answers it would get to see what was signed for another.
func statusFailure(resp *http.Response) *failure {
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // so that the connection can be used again
	err := &StatusError{Code: resp.StatusCode, RetryAfter: retryAfter(resp.Header.Get("Retry-After"))}
	if err.Code < 500 && err.Code != http.StatusRequestTimeout && err.Code != http.StatusTooManyRequests {
		return &failure{err: err, sent: true, fault: alive}
	}
	return &failure{err: err, retry: true, sent: true, fault: down}
}

// retryAfter reads seconds or a date.
func retryAfter(text string) time.Duration {
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(text); err == nil {
		return max(0, time.Until(t))
	}
	return 0
}

// problemOf looks at the frame of an answer.
func problemOf(resp *http.Response, answer []byte) string {
	if len(answer) > maxAnswer {
		return "larger than 64 KiB"
	}
	if encoding := resp.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return "compressed"
	}
	if len(trim(answer)) == 0 {
		return "" // whether that will do is decided later
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if kind != "application/json" && !(strings.HasPrefix(kind, "application/") && strings.HasSuffix(kind, "+json")) {
		return "content type is not application/json"
	}
	return ""
}

func trim(b []byte) []byte { return bytes.Trim(b, " \t\r\n") }
