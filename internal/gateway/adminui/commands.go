package adminui

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/fanwire/fanwire/node"
)

// eventDo has nodes do something to their own sockets of a namespace that the node of
// the admin does not have.
const eventDo = "fanwire:admin:do"

// command is what an admin wants to be done to the sockets of a namespace, or of one
// room of it.
type command struct {
	Name      string `json:"name"` // emit, join, leave, _disconnect
	Namespace string `json:"nsp"`
	Filter    string `json:"filter,omitempty"` // room; all sockets without
	Room      string `json:"room,omitempty"`   // of join and leave
	Close     bool   `json:"close,omitempty"`  // of _disconnect: the whole client
	Event     string `json:"event,omitempty"`  // of emit
}

// registerCommands lets admins do something, unless they may only look.
func (ui *UI) registerCommands() {
	node.OnServer(ui.admin, eventDo, func(ctx context.Context, _ *node.Namespace, a node.Args) error {
		var c command
		if err := a.Bind(0, &c); err != nil {
			return err
		}
		if ns, ok := ui.srv.Lookup(c.Namespace); ok && !ui.cfg.ReadOnly {
			return c.run(ctx, ns.Local(), a.From(1))
		}
		return nil
	})
	if ui.cfg.ReadOnly {
		return
	}
	for name, parse := range map[string]func(a node.Args, c *command) error{
		"emit":        func(a node.Args, c *command) error { return bind(a, &c.Namespace, &c.Filter, &c.Event) },
		"join":        func(a node.Args, c *command) error { return bind(a, &c.Namespace, &c.Room, &c.Filter) },
		"leave":       func(a node.Args, c *command) error { return bind(a, &c.Namespace, &c.Room, &c.Filter) },
		"_disconnect": func(a node.Args, c *command) error { return bind(a, &c.Namespace, &c.Close, &c.Filter) },
	} {
		node.On(ui.admin, name, func(ctx context.Context, s *node.Socket, a node.Args) error {
			c := command{Name: name}
			if err := parse(a, &c); err != nil {
				return err
			}
			return ui.do(ctx, s, c, a)
		})
	}
}

// bind reads arguments that must be there, but for the last, which may be null or
// missing.
func bind(a node.Args, values ...any) error {
	if a.Len() < len(values)-1 {
		return errors.New("arguments are missing")
	}
	for i, v := range values {
		if i < a.Len() && string(a.Raw(i)) != "null" {
			if err := a.Bind(i, v); err != nil {
				return fmt.Errorf("argument %d: %w", i, err)
			}
		}
	}
	return nil
}

// do does what an admin wants, on all nodes, and notes it.
func (ui *UI) do(ctx context.Context, s *node.Socket, c command, a node.Args) error {
	var payload node.Args
	switch {
	case c.Namespace == "" || (c.Name == "join" || c.Name == "leave") && c.Room == "" || c.Name == "emit" && c.Event == "":
		return errors.New("a name is missing")
	case c.Name == "emit":
		payload = a.From(3)
	}
	ui.counters.commands.Add(1)
	ui.log.Info("admin UI: command", "command", c.Name, "namespace", short(c.Namespace), "filter", short(c.Filter),
		"room", short(c.Room), "event", short(c.Event), "close", c.Close, "address", s.Handshake().Address)
	if ns, ok := ui.srv.Lookup(c.Namespace); ok {
		return c.run(ctx, ns.All(), payload)
	}
	return ui.admin.ServerEmit(ctx, eventDo, c, payload)
}

// run does it to the selected sockets, or to those in the room of the filter.
func (c *command) run(ctx context.Context, to node.Broadcast, payload node.Args) error {
	if c.Filter != "" {
		to = to.In(c.Filter)
	}
	switch c.Name {
	case "emit":
		return to.Emit(ctx, c.Event, payload)
	case "join":
		return to.Join(ctx, c.Room)
	case "leave":
		return to.Leave(ctx, c.Room)
	case "_disconnect":
		return to.Disconnect(ctx, c.Close)
	}
	return fmt.Errorf("unknown command %.20q", c.Name)
}

// short is as much of a text as may be logged.
func short(text string) string { return strings.ToValidUTF8(text[:min(len(text), 200)], "") }
