// Package command is what backends can ask the gateway for: one vocabulary for the
// HTTP API and for the answers of webhooks.
package command

import (
	"encoding/json"
	"time"

	"github.com/fanwire/fanwire/node"
)

// Kind says what a [Command] does.
type Kind string

// The kinds.
const (
	Emit       Kind = "emit"
	Join       Kind = "join"
	Leave      Kind = "leave"
	Disconnect Kind = "disconnect"
	SetData    Kind = "set_data"
	ServerEmit Kind = "server_emit" // to the other servers of the cluster
)

// Command is one thing to do. Its target is To, or All; a webhook's answer without
// either means the client that it is about.
type Command struct {
	Kind      Kind   `json:"type"`
	Namespace string `json:"namespace,omitempty"` // "/", or that of the client

	// To are rooms; the id of a socket is one. All is everybody in the namespace.
	// Except are rooms left out.
	To     []string `json:"to,omitempty"`
	All    bool     `json:"all,omitempty"`
	Except []string `json:"except,omitempty"`

	// Of emit and server_emit.
	Event    string `json:"event,omitempty"`
	Args     Args   `json:"args,omitzero"`
	Volatile bool   `json:"volatile,omitempty"`
	Local    bool   `json:"local,omitempty"` // the clients of this node only
	Compress *bool  `json:"compress,omitempty"`

	Rooms []string        `json:"rooms,omitempty"` // of join and leave
	Close bool            `json:"close,omitempty"` // of disconnect: the whole session, not only the namespace
	Data  json.RawMessage `json:"data,omitempty"`  // of set_data
}

// Problem says what is wrong with a command, and where.
type Problem struct {
	Path    string `json:"path"` // as in "commands[2].event"
	Message string `json:"message"`
}

// AckTimeout is how long calls that wait for acks wait, unless told otherwise.
const AckTimeout = 5 * time.Second

// Args are the arguments of an event, as node has them. In JSON a binary value is
// {"$binary":"BASE64"}.
type Args struct{ node.Args }
