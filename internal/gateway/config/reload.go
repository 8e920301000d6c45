package config

import (
	"maps"
	"reflect"
	"slices"
)

// Change is a setting that differs between two configurations.
type Change struct {
	Path string // a list or map of structures counts as one: "namespaces"
	// Reload tells whether it may change while the gateway runs.
	Reload bool
}

// Diff returns what differs, in the order of the structure. An empty list is as one that
// is not there.
func Diff(before, after *Config) []Change {
	a, b := reflect.ValueOf(before).Elem(), reflect.ValueOf(after).Elem()
	var changes []Change
	for _, s := range allSettings() {
		if s.Variable == "" {
			continue
		}
		if x, y := a.FieldByIndex(s.index), b.FieldByIndex(s.index); !same(x, y) {
			changes = append(changes, Change{s.Path, s.Reload})
		}
	}
	return changes
}

func same(x, y reflect.Value) bool {
	if k := x.Kind(); (k == reflect.Slice || k == reflect.Map) && x.Len() == 0 && y.Len() == 0 {
		return true
	}
	return reflect.DeepEqual(x.Interface(), y.Interface())
}

// Reloadable returns what of after can run in place of before without a restart: merged
// has the settings of after, but those of before where a change needs one. Their paths
// are ignored. Neither of the two is changed. Each was valid by itself, and the mixture
// need not be: [Config.Validate] tells.
func Reloadable(before, after *Config) (merged *Config, ignored []string) {
	changes := Diff(before, after)
	m := *after
	m.origins = maps.Clone(after.origins)
	old, v := reflect.ValueOf(before).Elem(), reflect.ValueOf(&m).Elem()
	for _, s := range allSettings() {
		if !slices.Contains(changes, Change{s.Path, false}) || s.Variable == "" {
			continue
		}
		v.FieldByIndex(s.index).Set(old.FieldByIndex(s.index))
		ignored = append(ignored, s.Path)
		delete(m.origins, s.Path) // the line is that of a value that is not in force
		if o, ok := before.origins[s.Path]; ok {
			m.origins[s.Path] = o
		}
	}
	return &m, ignored
}
