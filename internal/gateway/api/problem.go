package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/internal/gateway/command"
	"github.com/fanwire/fanwire/node"
)

// problem is an answer that tells what went wrong (RFC 9457). It is an error.
type problem struct {
	Title    string            `json:"title"` // the status in words
	Status   int               `json:"status"`
	Code     string            `json:"code"` // for programs
	Detail   string            `json:"detail,omitempty"`
	Problems []command.Problem `json:"problems,omitempty"`
	Missing  []string          `json:"missing,omitempty"` // nodes that did not answer
	Unnamed  int               `json:"unnamed,omitempty"` // and how many more

	retry time.Duration
	cause error // for the log
}

func (p *problem) Error() string { return fmt.Sprintf("api: %d %s: %s", p.Status, p.Code, p.Detail) }

func (p *problem) Unwrap() error { return p.cause }

func refuse(status int, code, format string, args ...any) *problem {
	return &problem{Title: http.StatusText(status), Status: status, Code: code, Detail: fmt.Sprintf(format, args...)}
}

// invalid is a request that was read and is wrong.
func invalid(problems []command.Problem) *problem {
	p := refuse(http.StatusBadRequest, "invalid", "The request is not as it should be.")
	p.Problems = problems
	return p
}

func (p *problem) after(d time.Duration) *problem {
	p.retry = d
	return p
}

// problemOf says what an error means to a backend. Errors that are ours are not
// shown.
func problemOf(err error) *problem {
	var p *problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, command.ErrNoNamespace):
		return refuse(http.StatusNotFound, "no_namespace", "The configuration has no such namespace.")
	case errors.Is(err, node.ErrTooLarge), errors.Is(err, adapter.ErrTooLarge):
		return refuse(http.StatusRequestEntityTooLarge, "too_large", "The event is larger than nodes tell each other.")
	case errors.Is(err, node.ErrRoomName), errors.Is(err, node.ErrReservedEvent), errors.Is(err, node.ErrAttachments):
		return refuse(http.StatusBadRequest, "invalid", "%v", err)
	case errors.Is(err, adapter.ErrBacklog), errors.Is(err, adapter.ErrClosed):
		p = refuse(http.StatusServiceUnavailable, "partial", "Clients of this node were reached, those of other nodes may not be: Redis is out of reach.").after(time.Second)
	case errors.Is(err, node.ErrServerClosed), errors.Is(err, node.ErrDraining):
		p = refuse(http.StatusServiceUnavailable, "closing", "This node is shutting down.").after(time.Second)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		p = refuse(http.StatusGatewayTimeout, "timeout", "The request took too long.")
	default:
		p = refuse(http.StatusInternalServerError, "internal", "Something is wrong in the gateway; its log tells.")
	}
	p.cause = err
	return p
}

// write sends the problem.
func (p *problem) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	if p.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(int((p.retry+time.Second-1)/time.Second)))
	}
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // it has texts and numbers only
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(body)
}
