package api

import (
	"github.com/fanwire/fanwire/internal/gateway/command"
)

// change does something to the socket of the path, which must be there. It returns
// when other nodes were told; they do it some moments later.
func (a *API) change(c *call, cmd command.Command) error {
	id := c.vars["socket"]
	cmd.Namespace, cmd.To = c.namespace, []string{id}
	c.commands = 1
	if problems := cmd.Validate(a.opts.Limits()); problems != nil {
		return invalid(problems)
	}
	if _, err := a.find(c); err != nil {
		return err
	}
	if err := c.run(cmd); err != nil {
		return err
	}
	return c.done()
}

// rooms reads {"rooms": [...]}.
func (c *call) rooms() (rooms []string, err error) {
	return rooms, c.one(func(b *body, name string, raw []byte, p *path) bool {
		if name == "rooms" {
			rooms = b.texts(raw, p, maxTargets)
		}
		return name == "rooms"
	})
}

func (a *API) joinRooms(c *call) error {
	rooms, err := c.rooms()
	if err != nil {
		return err
	}
	return a.change(c, command.Command{Kind: command.Join, Rooms: rooms})
}

func (a *API) leaveRooms(c *call) error {
	rooms, err := c.rooms()
	if err != nil {
		return err
	}
	return a.change(c, command.Command{Kind: command.Leave, Rooms: rooms})
}

func (a *API) disconnect(c *call) error {
	cmd := command.Command{Kind: command.Disconnect}
	err := c.one(func(b *body, name string, raw []byte, p *path) bool {
		if name == "close" {
			cmd.Close = b.flag(raw, p)
		}
		return name == "close"
	})
	if err != nil {
		return err
	}
	return a.change(c, cmd)
}

func (a *API) setData(c *call) error {
	data, err := c.value()
	if err != nil {
		return err
	}
	return a.change(c, command.Command{Kind: command.SetData, Data: data})
}
