package webhook

import (
	"encoding/json"
	"time"

	"github.com/fanwire/fanwire/internal/gateway/command"
)

// Response is the answer of a backend, checked. What is not for the type of the
// request is not there.
type Response struct {
	// Of Connect. Refuse is set if the client may not come in; then the rest is not.
	Refuse *Refusal
	User   string
	Data   json.RawMessage // nil if there is none
	Rooms  []string        // to join
	// MayJoin and MaySend are patterns of rooms and of events. Nil: no restriction.
	MayJoin []string
	MaySend []string
	// Expires is when the client is to go; zero: never.
	Expires time.Time

	// Ack is the answer to an event, nil if there is none.
	Ack *command.Args
	// Actions are what to do, in this order: of Connected, Event and Disconnected.
	// Those without a target mean the client; after Disconnected all have one.
	Actions []command.Command
}

// Refusal tells a client why it may not come in: both members reach it in its
// connect_error event.
type Refusal struct {
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data,omitempty"`
}
