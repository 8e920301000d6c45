package main

import (
	"context"
	"errors"
	"os"

	"github.com/fanwire/fanwire/loadtest/internal/plan"
	"github.com/fanwire/fanwire/loadtest/internal/remote"
	"github.com/fanwire/fanwire/loadtest/internal/result"
	"github.com/fanwire/fanwire/loadtest/internal/run"
)

type connectCmd struct{ common }

func (c *connectCmd) Run(e *environment) error {
	p, err := c.plan("connect", plan.Stage{})
	return c.execute(e, p, err)
}

type echoCmd struct {
	common
	trafficFlags
}

func (c *echoCmd) Run(e *environment) error {
	p, err := c.plan("echo", plan.Stage{Echo: c.traffic(1000)})
	p.Payload, p.Binary = c.Payload, c.Binary
	return c.execute(e, p, err)
}

type fanoutCmd struct {
	common
	trafficFlags
	roomFlags
}

func (c *fanoutCmd) Run(e *environment) error {
	p, err := c.plan("fanout", plan.Stage{Fanout: c.traffic(100)})
	p.Payload, p.Binary = c.Payload, c.Binary
	c.roomFlags.apply(p)
	return c.execute(e, p, err)
}

type churnCmd struct {
	common
	trafficFlags
	roomFlags
	Joins      plan.Rate     `group:"Load" help:"Rooms left and joined again, per second." default:"10/s" placeholder:"RATE"`
	Reconnects plan.Rate     `group:"Load" help:"Clients that disconnect and come back, per second; every second one breaks its connection." default:"1/s" placeholder:"RATE"`
	Away       plan.Duration `group:"Load" help:"How long those who disconnect in order stay away." default:"1s"`
}

func (c *churnCmd) Run(e *environment) error {
	p, err := c.plan("churn", plan.Stage{
		Fanout: c.traffic(100), Churn: &plan.Churn{Joins: c.Joins, Reconnects: c.Reconnects, Away: c.Away},
	})
	p.Payload, p.Binary = c.Payload, c.Binary
	c.roomFlags.apply(p)
	return c.execute(e, p, err)
}

type stormCmd struct {
	common
	trafficFlags
	roomFlags
	Drop  *plan.Share   `group:"Load" help:"Share of the connections that are broken; 100% unless there is a --hook." placeholder:"SHARE"`
	Hook  string        `group:"Load" help:"Shell command that breaks something, say, kills a node." placeholder:"COMMAND"`
	After plan.Duration `group:"Load" help:"When, from the begin of the measured part." default:"1s"`
}

func (c *stormCmd) Run(e *environment) error {
	storm := &plan.Storm{After: c.After, Hook: c.Hook}
	if c.Drop != nil {
		storm.Drop = *c.Drop
	} else if c.Hook == "" {
		storm.Drop = 1
	}
	stage := plan.Stage{Storm: storm}
	if c.Rate > 0 || c.InFlight > 0 {
		stage.Fanout = c.traffic(0)
	}
	p, err := c.plan("storm", stage)
	p.Payload, p.Binary = c.Payload, c.Binary
	c.roomFlags.apply(p)
	return c.execute(e, p, err)
}

type runCmd struct {
	File   string   `arg:"" help:"Scenario file in YAML." type:"path"`
	URL    []string `name:"url" group:"Target" help:"Address of the balancer or of each node, instead of the file's." placeholder:"URL" sep:"none"`
	Auth   string   `group:"Target" help:"JSON object that clients send when they join the namespace." placeholder:"JSON" env:"LOADTEST_AUTH"`
	Header []string `group:"Target" help:"Header of all requests; repeatable." placeholder:"NAME=VALUE" sep:"none"`
	machineFlags
	outputFlags
}

func (c *runCmd) Run(e *environment) error {
	base := plan.Default()
	base.URLs = c.URL
	p, err := plan.ReadFile(c.File, base)
	if err != nil {
		return &exit{exitUsage, err}
	}
	if len(c.URL) > 0 {
		p.URLs = c.URL
	}
	if p.PublishKey == "" {
		p.PublishKey = os.Getenv("LOADTEST_PUBLISH_KEY")
	}
	err = applySecrets(&p, c.Auth, c.Header)
	return execute(e, &p, err, &c.machineFlags, &c.outputFlags)
}

// workerCmd is one of several processes.
type workerCmd struct{}

func (workerCmd) Run(e *environment) error {
	return remote.Serve(e.ctx, e.stdin, e.stdout, run.Run, codeOf)
}

func (c *common) execute(e *environment, p *plan.Plan, err error) error {
	return execute(e, p, err, &c.machineFlags, &c.outputFlags)
}

// execute makes a test and writes its results.
func execute(e *environment, p *plan.Plan, err error, machine *machineFlags, out *outputFlags) error {
	if err := errors.Join(err, p.Validate()); err != nil {
		return &exit{exitUsage, err}
	}
	if err := p.Load(); err != nil { // before processes are started
		return &exit{exitUsage, err}
	}
	finish, err := out.open(e)
	if err != nil {
		return &exit{exitUsage, err}
	}
	if err := finish.watchNodes(p.URLs); err != nil {
		return &exit{exitUsage, err}
	}
	command := redactArgs(e.args)
	ctx, end := context.WithCancelCause(e.ctx)
	defer end(nil)
	led := *e // whose context --abort can end
	led.ctx = ctx
	e = &led
	finish.end, finish.alone = end, len(machine.Agents) == 0 && machine.Processes <= 1
	switch {
	case len(machine.Agents) > 0:
		doc, err := machine.agentFlags.lead(e, p, command, finish.snapshot)
		return finish.done(whole(doc, p), err)
	case machine.Processes > 1:
		doc, err := lead(e, p, machine.Processes, command, finish.snapshot)
		return finish.done(whole(doc, p), err)
	}
	doc, err := run.Run(e.ctx, p, command, remote.Hooks{Snapshot: finish.snapshot})
	return finish.done(doc, err)
}

// whole gives a merged result the plan of the test, instead of that of a part.
func whole(doc *result.Document, p *plan.Plan) *result.Document {
	if doc != nil {
		doc.Plan = p.Redacted()
	}
	return doc
}
