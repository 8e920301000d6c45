package servecmd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/fanwire/fanwire/internal/buildinfo"
	"github.com/fanwire/fanwire/internal/gateway"
	"github.com/fanwire/fanwire/internal/gateway/config"
)

// Serve is the command `fanwire serve`, for kong. Make it with [NewServe].
type Serve struct {
	Flags `embed:""`
	JSON  bool `name:"json" help:"Print where it listens as one JSON object per line."`
	build buildinfo.Info
}

// NewServe returns the command with a flag for every setting. Operators are told what
// build it is: in the log, the metrics, traces, and on the pages of the admin port.
func NewServe(build buildinfo.Info) Serve { return Serve{Flags: NewFlags(), build: build} }

// Run serves until ctx ends, which is no error; then it drains (HRD-70). SIGHUP loads
// the configuration again. Where it listens goes to out, the log to standard error.
func (c *Serve) Run(ctx context.Context, out io.Writer) error {
	var warnings []config.Problem
	cfg, err := c.Load(func(p config.Problem) { warnings = append(warnings, p) })
	if err != nil {
		return err
	}
	var told error
	var g *gateway.Gateway
	warn := func(p config.Problem) { g.Logger().Warn("configuration", "warning", p.String()) }
	g, err = gateway.New(cfg, gateway.Options{
		LogTo:   os.Stderr,
		Load:    func() (*config.Config, error) { return c.Load(warn) },
		Started: func(list []gateway.Endpoint) { told = c.tell(out, list) },
		Version: c.build.Version, Revision: c.build.Commit(),
	})
	if err != nil {
		return err
	}
	g.Logger().Info("starting", "version", c.build.Version, "revision", c.build.Commit(), "go", c.build.Go)
	for _, p := range warnings {
		warn(p)
	}
	if err := g.Run(ctx); err != nil {
		return err
	}
	return told
}

// titles are what endpoints are for, by role.
var titles = map[string]string{
	"clients": "clients connect to",
	"admin":   "API, metrics, health and pages are on",
	"peers":   "other nodes connect to",
	"redis":   "no redis.addresses: the embedded Redis, for this node alone, is",
}

// tell prints where the gateway listens. The JSON form is stable: fields are added,
// never renamed.
func (c *Serve) tell(out io.Writer, list []gateway.Endpoint) error {
	for _, e := range list {
		line := titles[e.Role] + " " + e.URL
		if c.JSON {
			data, _ := json.Marshal(struct { // of texts, which always have their JSON
				Event string `json:"event"`
				gateway.Endpoint
			}{"listening", e})
			line = string(data)
		}
		if _, err := fmt.Fprintln(out, line); err != nil {
			return fmt.Errorf("print: %w", err)
		}
	}
	return nil
}
