package gateway

import (
	"fmt"

	"github.com/fanwire/fanwire/internal/gateway/config"
)

// Reload puts a new configuration into force, as far as that is possible while
// clients are there: what is tagged reload in package config. On an error all stays
// as it was. Changes that need a restart are named in the log. It may block while
// files and keys are read.
func (g *Gateway) Reload(cfg *config.Config) error {
	g.reloading.Lock()
	defer g.reloading.Unlock()
	old := g.cfg.Load()
	inForce, fixed := config.Reloadable(old, cfg)
	if len(fixed) > 0 {
		g.log.Warn("these settings need a restart", "settings", fixed)
		if err := inForce.Validate(); err != nil {
			return fmt.Errorf("gateway: reload: with the settings that need a restart as they were: %w", err)
		}
	}
	if err := g.replaceParts(old, inForce); err != nil {
		return fmt.Errorf("gateway: reload: %w", err)
	}
	g.setLevel(inForce)
	g.cfg.Store(inForce)
	return nil
}

// setLevel makes the log's level that of the configuration.
func (g *Gateway) setLevel(cfg *config.Config) {
	if g.watch.log == nil {
		return
	}
	if err := g.watch.log.SetLevel(cfg.Log.Level); err != nil { // the loader has checked it
		g.log.Error("log.level", "error", err)
	}
}
