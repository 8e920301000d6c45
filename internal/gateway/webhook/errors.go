package webhook

import (
	"errors"
	"fmt"
	"time"
)

// Errors of [Hook.Call], wrapped with the name of the webhook; test with
// [errors.Is] and [errors.As]. No error shows the URL, a secret or a body.
var (
	// ErrOpen says that the circuit is open: the backend has failed too often. It was
	// not called.
	ErrOpen = errors.New("circuit is open")
	// ErrBusy says that as many requests wait as may. The backend was not called.
	ErrBusy = errors.New("too many requests wait")
	// ErrTimeout says that the deadline came, of waiting or of the answer.
	ErrTimeout = errors.New("no answer in time")
	// ErrAddress says that the backend's address is one that may not be dialed
	// (HRD-83).
	ErrAddress = errors.New("address is not allowed, for allow_private is off")
)

// StatusError says that the backend answered with another status than 2xx.
type StatusError struct {
	Code       int
	RetryAfter time.Duration // as the answer said, 0 if it did not
}

func (e *StatusError) Error() string { return fmt.Sprintf("status %d", e.Code) }

// Refused tells whether the backend was there and said no: 4xx, other than 408 and
// 429. Such an answer is not a failure of the backend.
func (e *StatusError) Refused() bool {
	return e.Code >= 400 && e.Code < 500 && e.Code != 408 && e.Code != 429
}

// AnswerError says that the backend's answer cannot be used.
type AnswerError struct {
	Problem string // what is wrong with it, without its contents
}

func (e *AnswerError) Error() string { return "answer: " + e.Problem }
