package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fanwire/fanwire/loadtest/internal/plan"
)

// targetFlags say where to connect, and how.
type targetFlags struct {
	URL       []string `name:"url" group:"Target" help:"Address of the balancer or, repeated, of each node." placeholder:"URL" sep:"none"`
	Path      string   `group:"Target" help:"Path of the server." default:"/socket.io/"`
	Namespace string   `name:"nsp" group:"Target" help:"Namespace; it must have the server's side of the test (fanwire serve --loadtest)." default:"/loadtest"`
	Auth      string   `group:"Target" help:"JSON object that clients send when they join the namespace." placeholder:"JSON" env:"LOADTEST_AUTH"`
	Header    []string `group:"Target" help:"Header of all requests; repeatable." placeholder:"NAME=VALUE" sep:"none"`
	Transport plan.Mix `group:"Target" help:"websocket, polling, upgrade, or a mix by weight: websocket=90,polling=10." default:"websocket" placeholder:"MIX"`
	Parser    string   `group:"Target" help:"Parser of the server." default:"json" enum:"json,msgpack"`
	Cookies   bool     `group:"Target" help:"Keep cookies, for balancers that need them."`
	Insecure  bool     `group:"Target" help:"Accept any TLS certificate."`
	LocalAddr []string `group:"Target" help:"Addresses to connect from, single or a range: 127.0.0.2-127.0.0.9. One has about 28,000 ports for each target." placeholder:"ADDRESSES"`
}

func (f *targetFlags) apply(p *plan.Plan) error {
	p.URLs, p.Path, p.Namespace, p.Transport, p.Parser = f.URL, f.Path, f.Namespace, f.Transport, f.Parser
	p.Cookies, p.Insecure, p.LocalAddrs = f.Cookies, f.Insecure, f.LocalAddr
	return errors.Join(applySecrets(p, f.Auth, f.Header))
}

// applySecrets reads what must not be shown.
func applySecrets(p *plan.Plan, auth string, headers []string) error {
	if auth != "" {
		var object map[string]any
		if json.Unmarshal([]byte(auth), &object) != nil { // its error may show a part
			return errors.New("--auth: is not a JSON object")
		}
		p.Auth = object
	}
	for _, h := range headers {
		name, value, ok := strings.Cut(h, "=")
		if !ok || name == "" {
			return errors.New("--header: is not NAME=VALUE")
		}
		if p.Headers == nil {
			p.Headers = make(map[string]string)
		}
		p.Headers[name] = value
	}
	return nil
}

// loadFlags say how many clients there are.
type loadFlags struct {
	Clients     plan.Count    `group:"Load" help:"Number of clients: 500, 10k." default:"100" placeholder:"N"`
	Ramp        plan.Duration `group:"Load" help:"Time over which they are connected." default:"1s"`
	ConnectRate plan.Rate     `group:"Load" help:"Connects per second at most; 0: as fast as the targets allow." default:"0" placeholder:"RATE"`
	Stages      plan.Steps    `group:"Load" help:"Clients up and down instead of --clients, --ramp and --duration: 30s:1k,2m:10k,30s:0." placeholder:"TIME:N,..."`
}

// trafficFlags say how messages are sent.
type trafficFlags struct {
	Rate     plan.Rate    `group:"Load" help:"Messages per second of the whole test, whatever becomes of them (open loop)." placeholder:"RATE"`
	Arrival  string       `group:"Load" help:"Distances between messages of an open loop." default:"uniform" enum:"uniform,poisson"`
	InFlight int          `group:"Load" help:"Instead of --rate: so many messages under way for each client that echoes or publishes (closed loop)." placeholder:"N"`
	Payload  plan.Payload `group:"Load" help:"Text of a size, 128B; of sizes in a range, dist:64B-4KB; a file's, @file." default:"128B"`
	Binary   plan.Share   `group:"Load" help:"Share of messages that are binary." default:"0%" placeholder:"SHARE"`
}

func (f *trafficFlags) traffic(fallback plan.Rate) *plan.Traffic {
	t := &plan.Traffic{Rate: f.Rate, Arrival: f.Arrival, InFlight: f.InFlight}
	if t.Rate == 0 && t.InFlight == 0 {
		t.Rate = fallback
	}
	return t
}

// roomFlags say who gets what is published.
type roomFlags struct {
	Rooms      plan.Count `group:"Load" help:"Number of rooms; 0: no rooms, messages go to everybody." default:"10" placeholder:"N"`
	PerRoom    plan.Count `group:"Load" help:"Clients in each; 0: each client is in one room." default:"0" placeholder:"N"`
	Publishers plan.Count `group:"Load" help:"Publishers of each room." default:"1" placeholder:"N"`
	Publish    string     `group:"Load" help:"How messages are published: by a client in the room (socket), by the gateway's HTTP API (http), by an emitter (redis)." default:"socket" enum:"socket,http,redis"`
	PublishURL string     `name:"publish-url" group:"Load" help:"Address of the HTTP API, or of Redis: redis://HOST:PORT?wire=classic|sharded|streams." placeholder:"URL" env:"LOADTEST_PUBLISH_URL"`
	PublishKey string     `name:"publish-key" group:"Load" help:"Key for the HTTP API." placeholder:"KEY" env:"LOADTEST_PUBLISH_KEY"`
}

func (f *roomFlags) apply(p *plan.Plan) {
	p.Rooms, p.PerRoom, p.Publishers, p.Publish, p.PublishURL, p.PublishKey = f.Rooms, f.PerRoom, f.Publishers, f.Publish, f.PublishURL, f.PublishKey
}

// timeFlags say how long it takes.
type timeFlags struct {
	Warmup   plan.Duration `group:"Time" help:"Traffic before anything is measured." default:"1s"`
	Duration plan.Duration `group:"Time" help:"Length of the measured part." default:"10s"`
	Cooldown plan.Duration `group:"Time" help:"Time at the end in which clients still listen; longer, up to --timeout, if something is missing." default:"1s"`
	Timeout  plan.Duration `group:"Time" help:"Time for a connect, an answer, a delivery." default:"5s"`
	Seed     uint64        `group:"Time" help:"Seed of all that is random." default:"1"`
}

// machineFlags say where the load comes from.
type machineFlags struct {
	Processes int `group:"Machine" help:"Share the test among so many processes on this machine: each may hold files and use cores of its own." default:"1" placeholder:"N"`
	agentFlags
}

// common is the flags of all commands that make a plan themselves.
type common struct {
	targetFlags
	loadFlags
	timeFlags
	machineFlags
	outputFlags
}

// plan makes the plan of a command: first is its stage without a name and a length.
func (c *common) plan(name string, first plan.Stage) (*plan.Plan, error) {
	p := plan.Default()
	p.Name = name
	err := c.targetFlags.apply(&p)
	p.Clients, p.Ramp, p.ConnectRate = c.Clients, c.Ramp, c.ConnectRate
	p.Warmup, p.Cooldown, p.Timeout, p.Seed = c.Warmup, c.Cooldown, c.Timeout, c.Seed
	first.Name, first.Duration = name, c.Duration
	p.Stages = []plan.Stage{first}
	if len(c.Stages) > 0 {
		p.Clients, p.Ramp, p.Warmup, p.Stages = 0, 0, 0, nil
		for i, step := range c.Stages {
			s := first
			s.Name, s.Duration, s.Clients = fmt.Sprintf("%s %d", name, i+1), step.Duration, &step.Clients
			p.Stages = append(p.Stages, s)
		}
	}
	return &p, err
}

// redactArgs is the command line without secrets.
func redactArgs(args []string) []string {
	secret := []string{"--auth", "--header", "--publish-key"}
	args = slices.Clone(args)
	for i, a := range args {
		name, value, joined := strings.Cut(a, "=")
		switch {
		case slices.Contains(secret, name) && joined:
			args[i] = name + "=..."
		case slices.Contains(secret, name) && i+1 < len(args):
			args[i+1] = "..."
		case joined && strings.Contains(value, "://"):
			args[i] = name + "=" + plan.RedactURL(value)
		case strings.Contains(a, "://"):
			args[i] = plan.RedactURL(a)
		}
	}
	return args
}
