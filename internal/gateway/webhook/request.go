package webhook

import (
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/fanwire/fanwire/internal/gateway/command"
)

// Type says what a request is about.
type Type string

// The types.
const (
	Connect      Type = "connect"      // a client wants in; the answer decides
	Connected    Type = "connected"    // it is in
	Event        Type = "event"        // it sent an event
	Disconnected Type = "disconnected" // it has left
)

// Types lists them.
func Types() []Type { return []Type{Connect, Connected, Event, Disconnected} }

// Request is what a backend is told. Strings that are empty are left out.
type Request struct {
	Type Type
	// ID of the request, the same in all its tries, by which backends recognise one
	// that comes again. If empty, Call makes one.
	ID string
	// Time is when it happened; zero is now.
	Time time.Time

	Node      string // this node
	Namespace string
	Socket    string // public id
	User      string
	Data      json.RawMessage // of the client, valid JSON

	// Of events.
	Event    string
	Args     command.Args
	WantsAck bool

	// Reason why the client has gone, of Disconnected.
	Reason string

	// Handshake is required for Connect.
	Handshake *Handshake
}

// Handshake is what a backend may see of the first request of a client. What is
// passed on of it is decided by the Hook.
type Handshake struct {
	// Address of the client, without port.
	Address string
	// Header, of which those that config.Webhook.Headers names are passed on.
	Header http.Header
	// Query, without what belongs to the protocol or is called "token".
	Query url.Values
	// Auth is the client's auth payload, a JSON object or nil; its member "token" is
	// left out.
	Auth json.RawMessage
}
