package api

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net/http"

	"github.com/fanwire/fanwire/internal/gateway/command"
	"github.com/fanwire/fanwire/node"
)

// Bounds of the answers to one request. Those beyond are counted.
const (
	maxAnswers     = 10_000
	maxAnswerBytes = 1 << 20
)

// emit sends an event to clients, and collects their acks if that was asked.
func (a *API) emit(c *call) error {
	return c.send(command.Emit, func(ctx context.Context, ns *node.Namespace, cmd *command.Command) iter.Seq2[node.Args, error] {
		return node.CallAll[node.Args](ctx, cmd.Broadcast(ns), cmd.Event, cmd.Args.Args)
	})
}

// serverEmit sends an event to the other servers, and collects their answers if that
// was asked.
func (a *API) serverEmit(c *call) error {
	return c.send(command.ServerEmit, func(ctx context.Context, ns *node.Namespace, cmd *command.Command) iter.Seq2[node.Args, error] {
		return node.CallServers[node.Args](ctx, ns, cmd.Event, cmd.Args.Args)
	})
}

// send runs the one command of the request, or asks by ask for what it is answered.
func (c *call) send(kind command.Kind, ask func(context.Context, *node.Namespace, *command.Command) iter.Seq2[node.Args, error]) error {
	var w wait
	cmd, err := c.single(kind, &w)
	if err != nil {
		return err
	}
	if !w.ack {
		if err := c.run(cmd); err != nil {
			return err
		}
		return c.done()
	}
	ns, release, err := c.open(cmd.Namespace)
	if err != nil {
		return err
	}
	defer release()
	ctx, cancel := context.WithTimeout(c.ctx, w.timeout)
	defer cancel()
	got := newAnswers()
	for v, err := range ask(ctx, ns, &cmd) {
		if err := got.take(v, err); err != nil {
			return err
		}
	}
	return c.answer(http.StatusOK, got)
}

// answers are those of clients or servers.
type answers struct {
	// Answers are the first argument of each ack, null if there was none, in the
	// order in which they came.
	Answers  []json.RawMessage `json:"answers"`
	Received int               `json:"received"`
	// Expected is null when not all nodes have told how many they are.
	Expected *int `json:"expected"`
	// Complete tells whether all that were expected have come.
	Complete bool `json:"complete"`
	// Truncated tells that more were received than are listed.
	Truncated bool     `json:"truncated"`
	Missing   []string `json:"missing"`
	Unnamed   int      `json:"unnamed"`

	size int
}

func newAnswers() *answers {
	return &answers{Answers: []json.RawMessage{}, Missing: []string{}, Complete: true, Expected: new(int)}
}

// take adds an answer, or the reason why there are no more. An error that it returns
// is that of the whole.
func (a *answers) take(v node.Args, err error) error {
	var partial *node.PartialError
	if errors.As(err, &partial) {
		return a.end(partial)
	}
	if err != nil {
		return err
	}
	a.Received++
	*a.Expected = a.Received
	text, err := firstOf(v)
	if err != nil {
		return err
	}
	if len(a.Answers) >= maxAnswers || a.size+len(text) > maxAnswerBytes {
		a.Truncated = true
		return nil
	}
	a.size += len(text)
	a.Answers = append(a.Answers, text)
	return nil
}

// end notes who has not answered. That nobody could be asked because the broker is
// away is no reason to hide the answers of this node's clients.
func (a *answers) end(e *node.PartialError) error {
	a.Complete = false
	a.Expected = nil
	if e.Want >= 0 {
		a.Expected = &e.Want
	}
	a.Missing = append(a.Missing, e.Missing...)
	a.Unnamed = e.Unnamed
	return nil
}

// firstOf is the first of some arguments as gateway JSON.
func firstOf(v node.Args) (json.RawMessage, error) {
	if v.Len() == 0 {
		return json.RawMessage("null"), nil
	}
	text, err := command.Args{Args: v}.Append(nil)
	if err != nil {
		return nil, err
	}
	return text[1 : len(text)-1], nil
}
