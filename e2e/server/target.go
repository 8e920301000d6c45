package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/fanwire/fanwire/node"
)

// target says whom a broadcast reaches; peers/official.mjs describes it.
type target struct {
	From     string   `json:"from"`
	To       []string `json:"to"`
	Except   []string `json:"except"`
	Local    bool     `json:"local"`
	Volatile bool     `json:"volatile"`
	Timeout  int      `json:"timeout"` // ms
}

func (t target) broadcast(s *node.Socket) node.Broadcast {
	b := s.Namespace().All()
	if t.From == "socket" {
		b = s.Broadcast()
	}
	b = b.To(t.To...).Except(t.Except...)
	if t.Local {
		b = b.Local()
	}
	if t.Volatile {
		b = b.Volatile()
	}
	return b
}

// deadline bounds a request by the target's timeout, if it has one.
func (t target) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if t.Timeout == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Duration(t.Timeout)*time.Millisecond)
}

// names is one name or a list of them.
type names []string

func (n *names) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*n = names{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(n))
}

// outcome is the result of an acknowledged operation.
type outcome struct {
	Error   *string `json:"error"`
	Answers []any   `json:"answers"`
}

func newOutcome[T any](answers []T, err error) outcome {
	o := outcome{Answers: make([]any, len(answers))}
	for i := range answers {
		o.Answers[i] = answers[i]
	}
	if err != nil {
		text := err.Error()
		o.Error = &text
	}
	return o
}

// values makes a list of all arguments.
func values(a node.Args) ([]any, error) {
	list := make([]any, a.Len())
	for i := range list {
		if err := a.Bind(i, &list[i]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// collect gathers what a request yields.
func collect[T any](results func(yield func(T, error) bool)) ([]T, error) {
	var list []T
	for v, err := range results {
		if err != nil {
			return list, err
		}
		list = append(list, v)
	}
	return list, nil
}

// only returns the one socket that the target selects.
func (t target) only(ctx context.Context, s *node.Socket) (node.RemoteSocket, error) {
	found, err := collect(t.broadcast(s).Sockets(ctx))
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("%d sockets found", len(found))
	}
	if err != nil {
		return node.RemoteSocket{}, err
	}
	return found[0], nil
}

var errUnknownAction = errors.New("unknown action")
