package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/fanwire/fanwire/loadtest/internal/agent"
	"github.com/fanwire/fanwire/loadtest/internal/live"
	"github.com/fanwire/fanwire/loadtest/internal/plan"
	"github.com/fanwire/fanwire/loadtest/internal/remote"
	"github.com/fanwire/fanwire/loadtest/internal/result"
	"github.com/fanwire/fanwire/loadtest/internal/run"
)

// agentFlags are the generators on other machines.
type agentFlags struct {
	Agents []string `group:"Machine" help:"Share the test among these agents instead (loadtest agent): host:port,..." placeholder:"ADDRESSES"`
	tokenFlags
}

// tokenFlags are what agents and coordinators prove themselves with. Without a file it is
// in LOADTEST_AGENT_TOKEN: everybody on a machine can read flags.
type tokenFlags struct {
	TokenFile string `name:"agent-token-file" group:"Machine" help:"File with the token of the agents; otherwise it is in LOADTEST_AGENT_TOKEN." placeholder:"FILE" type:"path"`
}

// agentCmd waits for coordinators.
type agentCmd struct {
	Listen string `help:"Where to listen; without a token on a loopback address only." default:"127.0.0.1:7700" placeholder:"HOST:PORT"`
	tokenFlags
}

func (c *agentCmd) Run(e *environment) error {
	token, err := c.read()
	if err != nil {
		return &exit{exitUsage, err}
	}
	l, err := agent.Listen(c.Listen, token)
	if err != nil {
		return &exit{exitUsage, fmt.Errorf("--listen: %w", err)}
	}
	say := func(text string) { _, _ = fmt.Fprintln(e.stderr, "agent: "+text) }
	say("listening on " + l.Addr().String())
	agent.Serve(e.ctx, l, token, func(ctx context.Context, in io.Reader, out io.Writer) error {
		return remote.Serve(ctx, in, out, runWithoutCommands, codeOf)
	}, say)
	return nil
}

// runWithoutCommands makes a test for a coordinator: who leads an agent may make load,
// and run nothing.
func runWithoutCommands(ctx context.Context, p *plan.Plan, command []string, h remote.Hooks) (*result.Document, error) {
	if err := errors.Join(withoutCommands(p), p.Validate()); err != nil {
		return nil, &exit{exitUsage, err}
	}
	return run.Run(ctx, p, command, h)
}

func withoutCommands(p *plan.Plan) error {
	for i := range p.Stages {
		if s := p.Stages[i].Storm; s != nil && s.Hook != "" {
			return errors.New("hook: agents run no commands; without --agents it can be used")
		}
	}
	return nil
}

func (f *tokenFlags) read() (string, error) {
	token, err := agent.ReadToken(f.TokenFile, os.Getenv("LOADTEST_AGENT_TOKEN"))
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	return token, nil
}

// lead shares a test among agents and merges what they report. Each has rooms of
// its own, so that all latencies are between clients of the same clock.
func (f *agentFlags) lead(e *environment, p *plan.Plan, command []string, show func(live.Snapshot)) (*result.Document, error) {
	token, err := f.read()
	if err := errors.Join(err, withoutCommands(p)); err != nil {
		return nil, &exit{exitUsage, err}
	}
	parts, err := p.Split(len(f.Agents))
	if err != nil {
		return nil, &exit{exitUsage, fmt.Errorf("--agents: %w", err)}
	}
	var workers []remote.Worker
	var conns []*agent.Conn
	for _, address := range f.Agents {
		c, err := agent.Dial(e.ctx, address, token)
		if err != nil {
			return nil, &exit{exitTarget, fmt.Errorf("agent %s: %w", address, err)}
		}
		defer c.Close()
		_, _ = fmt.Fprintf(e.stderr, "agent %s: its clock is %v ahead, to within %v\n", address, c.Offset, c.Error)
		conns = append(conns, c)
		workers = append(workers, remote.Worker{Name: "agent " + address, In: c, Out: c.In})
	}
	docs, err := remote.Lead(e.ctx, workers, parts, command, show)
	whole, merr := mergeAgents(f.Agents, conns, docs)
	return whole, errors.Join(err, merr)
}

// mergeAgents makes one document, by our clock. One that lacks the part of an agent says
// so. Nil: none has reported.
func mergeAgents(names []string, conns []*agent.Conn, docs []*result.Document) (*result.Document, error) {
	var all []*result.Document
	var lost []string
	for i, d := range docs {
		if d == nil {
			lost = append(lost, fmt.Sprintf("agent %s was lost: its part is missing", names[i]))
			continue
		}
		d.Started = d.Started.Add(-conns[i].Offset)
		for j := range d.Generators {
			d.Generators[j].Name, d.Generators[j].Clock = names[i], float64(conns[i].Error.Microseconds())
		}
		all = append(all, d)
	}
	if len(all) == 0 {
		return nil, nil
	}
	whole, err := result.Merge(all...)
	if err != nil {
		return nil, err
	}
	whole.Invalid = append(whole.Invalid, lost...)
	return whole, nil
}
