// Package servecmd is the commands of the gateway: `fanwire serve`, which runs it,
// `fanwire health`, which asks a running node, `fanwire config`, which tells about its
// configuration, and `fanwire token`, which makes a token.
package servecmd

import (
	"context"
	"fmt"
	"io"

	"github.com/fanwire/fanwire/internal/gateway/config"
)

// Config is the command `fanwire config`, for kong. Make it with [NewConfig].
type Config struct {
	Defaults Defaults `cmd:"" help:"Print all settings of fanwire serve with their defaults, as a YAML file with comments."`
	Check    Check    `cmd:"" help:"Tell everything that is wrong with a configuration."`
	Docs     Docs     `cmd:"" help:"Print the reference of all settings in Markdown."`
}

// NewConfig returns the command with a flag for every setting.
func NewConfig() Config { return Config{Check: Check{Flags: NewFlags()}} }

// Defaults prints the defaults.
type Defaults struct{}

// Run does it.
func (Defaults) Run(_ context.Context, out io.Writer) error { return config.WriteDefaults(out) }

// Docs prints the reference.
type Docs struct{}

// Run does it.
func (Docs) Run(_ context.Context, out io.Writer) error { return config.WriteDocs(out) }

// Check checks a configuration.
type Check struct {
	Flags `embed:""`
	Print bool `help:"Print what would run as YAML, with where each value comes from. Secrets are shown as ***."`
}

// Run does it. Its error has all problems.
func (c *Check) Run(_ context.Context, out io.Writer) error {
	mark := ""
	if c.Print {
		mark = "# "
	}
	var warnings []config.Problem
	cfg, err := c.Load(func(p config.Problem) { warnings = append(warnings, p) })
	for _, w := range warnings {
		if _, err := fmt.Fprintf(out, "%swarning: %v\n", mark, w); err != nil {
			return err
		}
	}
	switch {
	case err != nil:
		return err
	case c.Print:
		return cfg.Write(out)
	}
	_, err = fmt.Fprintln(out, "no problems")
	return err
}
