// Package command is what backends can ask the gateway for: one vocabulary and one
// implementation for the HTTP API and for the answers of webhooks.
//
// [Parse] reads a [Command] from JSON, [Command.Validate] says what is wrong with
// it, [Runner.Run] does it. [Args] is where the JSON of backends and the arguments
// of package node meet.
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

// Kinds lists them.
func Kinds() []Kind { return []Kind{Emit, Join, Leave, Disconnect, SetData, ServerEmit} }

// Command is one thing to do. Its target is To, or All; a webhook's answer without
// either means the client that it is about. A Command does not change once it was
// validated.
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
	Data  json.RawMessage `json:"data,omitempty"`  // of set_data; null takes it away
}

// Targeted tells whether the command says whom it concerns.
func (c *Command) Targeted() bool { return c.All || len(c.To) > 0 }

// Broadcast is whom a command with a target concerns, and how they are reached.
func (c *Command) Broadcast(ns *node.Namespace) node.Broadcast {
	b := ns.All()
	if !c.All {
		b = b.To(c.To...)
	}
	if len(c.Except) > 0 {
		b = b.Except(c.Except...)
	}
	if c.Volatile {
		b = b.Volatile()
	}
	if c.Local {
		b = b.Local()
	}
	if c.Compress != nil {
		b = b.Compress(*c.Compress)
	}
	return b
}

// AckTimeout is how long calls that wait for acks wait, unless told otherwise.
const AckTimeout = 5 * time.Second
