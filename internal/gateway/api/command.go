package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/fanwire/fanwire/internal/gateway/command"
)

// Bounds of commands.
const (
	maxCommands = 1000 // of a batch
	maxTargets  = 10_000
	maxWait     = 60 * time.Second // for acks
)

// wait says whether answers are awaited, and for how long.
type wait struct {
	ack     bool
	timeout time.Duration
}

// readWait reads "ack" and "timeout"; false if name is neither.
func (b *body) readWait(w *wait, name string, raw []byte, p *path) bool {
	switch name {
	case "ack":
		w.ack = b.flag(raw, p)
	case "timeout":
		w.timeout = time.Duration(b.whole(raw, p, 1, maxWait.Milliseconds())) * time.Millisecond
	default:
		return false
	}
	return true
}

// readCommand reads a member of a command; false if it has none of the name.
func (b *body) readCommand(c *command.Command, name string, raw []byte, p *path) bool {
	switch name {
	case "namespace":
		c.Namespace = b.text(raw, p)
	case "to":
		c.To = b.texts(raw, p, maxTargets)
	case "all":
		c.All = b.flag(raw, p)
	case "except":
		c.Except = b.texts(raw, p, maxTargets)
	case "event":
		c.Event = b.text(raw, p)
	case "args":
		c.Args = b.args(raw, p)
	case "volatile":
		c.Volatile = b.flag(raw, p)
	case "local":
		c.Local = b.flag(raw, p)
	case "compress":
		on := b.flag(raw, p)
		c.Compress = &on
	case "rooms":
		c.Rooms = b.texts(raw, p, maxTargets)
	case "close":
		c.Close = b.flag(raw, p)
	case "data":
		c.Data = bytes.Clone(raw)
	default:
		return false
	}
	return true
}

// args reads the arguments of an event.
func (b *body) args(raw []byte, p *path) command.Args {
	if !b.is(raw, p, "a list") {
		return command.Args{}
	}
	a, err := command.ParseArgs(raw)
	if err != nil {
		b.problem(p, "%v", err)
	}
	return a
}

// command reads an object with the members of a command and its type.
func (b *body) command(raw []byte, p *path) command.Command {
	var c command.Command
	at := p.member("")
	for name, raw := range b.members(raw, p) {
		at.name = name
		switch {
		case name == "type":
			c.Kind = command.Kind(b.text(raw, at))
		case !b.readCommand(&c, name, raw, at):
			b.unknown(at)
		}
	}
	return c
}

// validate adds what is wrong with a command that was read without problems.
func (b *body) validate(c *command.Command, limits command.Limits, p *path) {
	problems := c.Validate(limits)
	if at := p.String(); at != "" {
		problems = command.Under(at, problems)
	}
	b.add(problems...)
}

// scopeOf is what a key needs for a command.
func scopeOf(k command.Kind) scope {
	switch k {
	case command.Emit, command.ServerEmit:
		return publish
	default:
		return manage
	}
}

// permit checks a command of a body, and notes it for the log.
func (c *call) permit(cmd *command.Command) error {
	if cmd.Namespace == "" {
		cmd.Namespace = "/"
	}
	c.commands++
	if s := scopeOf(cmd.Kind); !c.key.may(s) {
		return c.forbidden(s)
	}
	return c.enter(cmd.Namespace)
}

// single reads a body that is one command of a kind.
func (c *call) single(kind command.Kind, w *wait) (cmd command.Command, err error) {
	var b body
	cmd.Kind = kind
	if b.check(c.body) {
		at := &path{}
		for name, raw := range b.members(c.body[space(c.body, 0):], nil) {
			at.name = name
			if !b.readWait(w, name, raw, at) && !b.readCommand(&cmd, name, raw, at) {
				b.unknown(at)
			}
		}
		if len(b.problems) == 0 {
			b.validate(&cmd, c.api.opts.Limits(), nil)
		}
	}
	if w.timeout > 0 && !w.ack {
		b.problem(&path{name: "timeout"}, "means nothing without ack")
	}
	if w.timeout == 0 {
		w.timeout = command.AckTimeout
	}
	if err := b.err(); err != nil {
		return cmd, err
	}
	return cmd, c.permit(&cmd)
}

// run runs a command.
func (c *call) run(cmd command.Command) error {
	err := c.api.opts.Runner.Run(c.ctx, cmd, nil)
	var wrong *command.InvalidError
	if errors.As(err, &wrong) {
		return invalid(wrong.Problems)
	}
	return err
}

// batch runs commands in their order. Those that are wrong keep all from running; one
// that fails does not keep the next ones.
func (a *API) batch(c *call) error {
	list, err := c.readBatch()
	if err != nil {
		return err
	}
	for i := range list {
		if err := c.permit(&list[i]); err != nil {
			p := *problemOf(err)
			p.Problems = []command.Problem{{Path: (&path{name: "commands"}).element(i).String(), Message: "is not allowed"}}
			return &p
		}
	}
	c.namespace = "" // several
	results := make([]result, len(list))
	for i, cmd := range list {
		if err := c.run(cmd); err != nil {
			results[i].Error = c.told(err)
		} else {
			results[i].OK = true
		}
	}
	return c.answer(http.StatusOK, batchAnswer{Results: results})
}

// result is that of one command of a batch.
type result struct {
	OK    bool     `json:"ok"`
	Error *problem `json:"error,omitempty"`
}

type batchAnswer struct {
	Results []result `json:"results"`
}

// told is what a backend is told of an error that is not the answer itself.
func (c *call) told(err error) *problem {
	p := problemOf(err)
	if p.cause != nil && p.Status >= 500 {
		c.api.log.Warn("api request", "operation", c.route.name, "error", err)
	}
	return p
}

func (c *call) readBatch() ([]command.Command, error) {
	var b body
	var list []command.Command
	given := false
	if b.check(c.body) {
		for name, raw := range b.members(c.body[space(c.body, 0):], nil) {
			at := &path{name: name}
			if name != "commands" {
				b.unknown(at)
				continue
			}
			given = true
			list = b.commands(raw, at, c.api.opts.Limits())
		}
		if !given {
			b.problem(&path{name: "commands"}, "required")
		}
	}
	return list, b.err()
}

func (b *body) commands(raw []byte, p *path, limits command.Limits) []command.Command {
	list := []command.Command{}
	for i, raw := range b.elements(raw, p) {
		if i == maxCommands {
			b.problem(p, "has more than %d elements", maxCommands)
			break
		}
		at, before := p.element(i), len(b.problems)
		cmd := b.command(raw, at)
		if len(b.problems) == before && !b.more {
			b.validate(&cmd, limits, at)
		}
		list = append(list, cmd)
	}
	return list
}

// one reads a body with some members and nothing else.
func (c *call) one(read func(b *body, name string, raw []byte, p *path) bool) error {
	var b body
	if b.check(c.body) {
		for name, raw := range b.members(c.body[space(c.body, 0):], nil) {
			if at := (&path{name: name}); !read(&b, name, raw, at) {
				b.unknown(at)
			}
		}
	}
	return b.err()
}

// value reads a body that is any JSON value.
func (c *call) value() (json.RawMessage, error) {
	var b body
	b.check(c.body)
	return bytes.TrimSpace(c.body), b.err()
}
