package engine

import (
	"encoding/json"
	"fmt"
)

// Error says why a transport could not be opened or was lost.
type Error struct {
	Message string // the official client's: "xhr poll error", "websocket error", ...
	Status  int    // HTTP status of a refusal, 0 without one
	Code    int    // Engine.IO error code (EIO-E-00 to EIO-E-05), -1 without one
	Detail  string // what the server said
	Err     error
}

func (e *Error) Error() string {
	text := e.Message
	if e.Status != 0 {
		text += fmt.Sprintf(": status %d", e.Status)
	}
	if e.Detail != "" {
		text += fmt.Sprintf(": %q", e.Detail)
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

// refusal makes the error of an HTTP answer that is not a success. The body is
// the JSON of EIO-E-00 on polling and plain text on WebSocket (EIO-E-06).
func refusal(message string, status int, body []byte) *Error {
	e := &Error{Message: message, Status: status, Code: -1}
	var known struct {
		Code    *int
		Message string
	}
	if json.Unmarshal(body, &known) == nil && known.Code != nil {
		e.Code, e.Detail = *known.Code, known.Message
	} else {
		e.Detail = string(body[:min(len(body), 200)])
	}
	return e
}

func transportError(message string, err error) *Error {
	return &Error{Message: message, Code: -1, Err: err}
}
