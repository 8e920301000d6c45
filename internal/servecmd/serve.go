package servecmd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/fanwire/fanwire/internal/gateway"
	"github.com/fanwire/fanwire/internal/gateway/config"
	"github.com/fanwire/fanwire/internal/gateway/observe"
)

// Serve is the command `fanwire serve`, for kong. Make it with [NewServe].
type Serve struct {
	Flags   `embed:""`
	JSON    bool   `name:"json" help:"Print where it listens as one JSON object per line."`
	version string // of the program
}

// NewServe returns the command with a flag for every setting. version is shown to
// operators.
func NewServe(version string) Serve { return Serve{Flags: NewFlags(), version: version} }

// Run serves until ctx ends, which is no error; then it drains (HRD-70). SIGHUP loads
// the configuration again. Where it listens goes to out, the log to standard error.
func (c *Serve) Run(ctx context.Context, out io.Writer) error {
	var warnings []config.Problem
	cfg, err := c.Load(func(p config.Problem) { warnings = append(warnings, p) })
	if err != nil {
		return err
	}
	log, err := observe.NewLog(os.Stderr, cfg.Log, cfg.Node.ID)
	if err != nil {
		return err
	}
	defer log.Close()
	for _, w := range warnings {
		log.Logger().Warn("configuration", "warning", w.String())
	}
	g, err := gateway.New(cfg, gateway.Options{
		Logger:  log.Logger(),
		Load:    func() (*config.Config, error) { return c.again(log) },
		Started: func(list []gateway.Endpoint) { c.tell(out, list) },
		Version: c.version,
	})
	if err != nil {
		return err
	}
	return g.Run(ctx)
}

// again loads the configuration once more.
func (c *Serve) again(log *observe.Log) (*config.Config, error) {
	cfg, err := c.Load(nil)
	if err == nil {
		err = log.SetLevel(cfg.Log.Level)
	}
	return cfg, err
}

// titles are what endpoints are for, by role.
var titles = map[string]string{
	"clients": "clients connect to",
	"admin":   "API, metrics, health and pages are on",
	"peers":   "other nodes connect to",
	"redis":   "no redis.addresses: the embedded Redis, for this node alone, is",
}

func (c *Serve) tell(out io.Writer, list []gateway.Endpoint) {
	for _, e := range list {
		if c.JSON {
			line, _ := json.Marshal(struct { // of texts, which always have their JSON
				Event string `json:"event"`
				gateway.Endpoint
			}{"listening", e})
			fmt.Fprintf(out, "%s\n", line)
			continue
		}
		fmt.Fprintf(out, "%s %s\n", titles[e.Role], e.URL)
	}
}
