package gateway

import (
	"fmt"
	"reflect"

	"github.com/fanwire/fanwire/internal/gateway/config"
)

// Reload puts a new configuration into force, as far as that is possible while
// clients are there: what is tagged reload in package config. On an error all stays
// as it was. Changes that need a restart are named in the log. It may block while
// files and keys are read.
func (g *Gateway) Reload(cfg *config.Config) error {
	g.reloading.Lock()
	defer g.reloading.Unlock()
	old, inForce := g.cfg.Load(), *cfg
	fixed := keep("", reflect.ValueOf(old).Elem(), reflect.ValueOf(&inForce).Elem(), false)
	if len(fixed) > 0 {
		g.log.Warn("these settings need a restart", "settings", fixed)
	}
	if err := g.replaceParts(old, &inForce); err != nil {
		return fmt.Errorf("gateway: reload: %w", err)
	}
	g.setLevel(cfg)
	g.cfg.Store(&inForce)
	return nil
}

// keep puts the old values back into a new configuration where they cannot be
// reloaded, and names the settings that differ there. Values are not shown: some are
// secrets.
func keep(path string, old, now reflect.Value, reloads bool) []string {
	var list []string
	t := old.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		name, ok := f.Tag.Lookup("yaml")
		if !ok {
			continue
		}
		name, reloads := path+name, reloads
		if tag, ok := f.Tag.Lookup("reload"); ok {
			reloads = tag == "true"
		}
		switch {
		case f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[config.Secret]():
			list = append(list, keep(name+".", old.Field(i), now.Field(i), reloads)...)
		case !reloads && !reflect.DeepEqual(old.Field(i).Interface(), now.Field(i).Interface()):
			list = append(list, name)
			now.Field(i).Set(old.Field(i))
		}
	}
	return list
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
