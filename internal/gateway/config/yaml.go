package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds of a YAML text. Aliases count as often as they are used, so that a small file
// does not become a large configuration.
const (
	maxFile   = 1 << 20 // bytes
	maxValues = 100_000
	maxDepth  = 32
)

// parseYAML reads one document. The root is nil if there is nothing in it. What is wrong
// is told with its line, 0 if it has none.
func parseYAML(data []byte) (root *yaml.Node, line int, message string) {
	if len(data) > maxFile {
		return nil, 0, fmt.Sprintf("is longer than %d bytes", maxFile)
	}
	defer func() {
		if recover() != nil { // a reload with an odd file must not end the gateway
			root, line, message = nil, 0, "is no YAML that can be read"
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, 0, ""
	case err != nil:
		line, message = yamlError(err)
		return nil, line, message
	}
	switch err := dec.Decode(&second); {
	case err == nil:
		return nil, second.Line, "a second document begins here; there can be one"
	case !errors.Is(err, io.EOF):
		line, message = yamlError(err)
		return nil, line, message
	}
	if len(doc.Content) == 0 {
		return nil, 0, ""
	}
	return doc.Content[0], 0, ""
}

// yamlError takes the line out of an error of the parser. An anchor's name is left
// out: the password "*abc" without quotes is one to YAML.
func yamlError(err error) (line int, message string) {
	message = strings.TrimPrefix(err.Error(), "yaml: ")
	if after, ok := strings.CutPrefix(message, "line "); ok {
		if digits, rest, ok := strings.Cut(after, ": "); ok {
			if n, err := strconv.Atoi(digits); err == nil {
				line, message = n, rest
			}
		}
	}
	if strings.HasPrefix(message, "unknown anchor") {
		message = `an alias (*NAME) without its anchor; a text that begins with "*" needs quotes`
	}
	return line, "is not YAML: " + message
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// what names a node for messages.
func what(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(n):
		return "empty"
	default:
		return "a single value"
	}
}

// pair is a key of a mapping with its value.
type pair struct {
	key   string
	line  int
	value *yaml.Node
}

// pairs returns what is in a mapping, the pairs that "<<" merges into it included, and
// reports keys that are there twice.
func (d *decoder) pairs(n *yaml.Node, path string, depth int) []pair {
	if !d.enter(n, path, depth) {
		return nil
	}
	var own, merged []pair
	seen := make(map[string]int) // lines
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		switch {
		case k.Kind != yaml.ScalarNode:
			d.problem(k, path, "has a key that is no text")
		case k.ShortTag() == "!!merge":
			merged = append(merged, d.merge(v, path, depth+1)...)
		case seen[k.Value] > 0:
			d.note(k.Line, join(path, keyText(k.Value)), fmt.Sprintf("is here a second time; the first is in line %d", seen[k.Value]))
		default:
			seen[k.Value] = k.Line
			own = append(own, pair{k.Value, k.Line, v})
		}
	}
	for _, p := range merged { // what is nearer wins
		if seen[p.key] == 0 {
			seen[p.key] = p.line
			own = append(own, p)
		}
	}
	return own
}

// merge returns the pairs that the value of a "<<" stands for.
func (d *decoder) merge(v *yaml.Node, path string, depth int) []pair {
	switch v = d.resolve(v); v.Kind {
	case yaml.MappingNode:
		return d.pairs(v, path, depth)
	case yaml.SequenceNode:
		var all []pair
		if d.enter(v, path, depth) {
			for _, n := range v.Content {
				all = append(all, d.merge(n, path, depth+1)...)
			}
		}
		return all
	}
	d.problem(v, path, `"<<" needs a mapping, or a list of some`)
	return nil
}

func (d *decoder) resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode { // an alias of an alias is none in YAML
		n = n.Alias
	}
	return n
}

// enter counts a node with what is directly in it, and tells whether to go into it.
func (d *decoder) enter(n *yaml.Node, path string, depth int) bool {
	if d.full {
		return false
	}
	if depth > maxDepth {
		d.problem(n, path, fmt.Sprintf("is nested deeper than %d", maxDepth))
		d.full = true
		return false
	}
	if d.values += len(n.Content); d.values > maxValues {
		d.problem(n, path, fmt.Sprintf("there are more than %d values, aliases counted as often as they are used", maxValues))
		d.full = true
		return false
	}
	return true
}

// keyText is a key as it stands in a path.
func keyText(key string) string {
	if len(key) > 60 || strings.Trim(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" {
		return quote(key)
	}
	return key
}
