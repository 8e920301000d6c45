package plan

import (
	"encoding"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// ReadFile reads a scenario file over base, which holds what the command line says. The
// error has every problem, with its line and field.
func ReadFile(name string, base Plan) (Plan, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return base, fmt.Errorf("scenario: %w", err)
	}
	if base.Name == "" {
		base.Name = strings.TrimSuffix(filepath.Base(name), filepath.Ext(name))
	}
	p, err := Parse(data, base)
	if err != nil {
		return p, fmt.Errorf("%s:\n%w", name, err)
	}
	return p, nil
}

// Parse reads a scenario. What it does not say is as in base.
func Parse(data []byte, base Plan) (Plan, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil {
		return base, err
	}
	if len(root.Content) == 0 {
		return base, errors.New("the scenario is empty")
	}
	c := &check{lines: make(map[string]int)}
	p := base
	c.decode(root.Content[0], reflect.ValueOf(&p).Elem(), "")
	if len(c.problems) == 0 || len(p.Stages) > 0 {
		p.validate(c)
	}
	slices.SortStableFunc(c.problems, func(a, b error) int { return a.(Problem).Line - b.(Problem).Line })
	return p, errors.Join(slices.CompactFunc(c.problems, func(a, b error) bool {
		x, y := a.(Problem), b.(Problem)
		return x.Field == y.Field && x.Line == y.Line // a value that cannot be read is not also missing
	})...)
}

// maxPath bounds the length of a field's path.
const maxPath = 200

// internal are fields that files cannot have.
var internal = []string{"part", "parts", "payloadText"}

// decode reads a node into v, whose field in the file is at.
func (c *check) decode(n *yaml.Node, v reflect.Value, at string) {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if len(at) > maxPath { // an anchor that contains itself
		c.add(at[:maxPath], "is nested too deeply")
		return
	}
	if at != "" {
		c.lines[at] = n.Line
	}
	if v.Kind() == reflect.Pointer {
		if n.Tag == "!!null" {
			c.add(at, "is empty")
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if n.Kind != yaml.ScalarNode {
			c.add(at, "must be a single value")
		} else if err := u.UnmarshalText([]byte(n.Value)); err != nil {
			c.add(at, "%v", err)
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		c.decodeStruct(n, v, at)
	case reflect.Slice:
		c.decodeSlice(n, v, at)
	case reflect.Interface, reflect.Map:
		if err := n.Decode(v.Addr().Interface()); err != nil {
			c.add(at, "is not a set of names and values")
		}
	default:
		c.decodeScalar(n, v, at)
	}
}

func (c *check) decodeStruct(n *yaml.Node, v reflect.Value, at string) {
	if n.Kind != yaml.MappingNode {
		c.add(at, "must have fields: %s", strings.Join(names(v.Type()), ", "))
		return
	}
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		field := strings.TrimPrefix(at+"."+key.Value, ".")
		c.lines[field] = key.Line
		switch f := fieldOf(v, key.Value); {
		case key.Value == "url" && at == "": // the usual case, one target
			c.decodeSlice(value, v.FieldByName("URLs"), "urls")
		case !f.IsValid():
			c.add(field, "there is no such field; there are %s", strings.Join(names(v.Type()), ", "))
		default:
			c.decode(value, f, field)
		}
	}
}

func (c *check) decodeSlice(n *yaml.Node, v reflect.Value, at string) {
	nodes := n.Content
	if n.Kind == yaml.ScalarNode { // one value instead of a list
		nodes = []*yaml.Node{n}
	} else if n.Kind != yaml.SequenceNode {
		c.add(at, "must be a list")
		return
	}
	list := reflect.MakeSlice(v.Type(), len(nodes), len(nodes))
	for i, item := range nodes {
		c.decode(item, list.Index(i), fmt.Sprintf("%s[%d]", at, i))
	}
	v.Set(list)
}

func (c *check) decodeScalar(n *yaml.Node, v reflect.Value, at string) {
	if n.Kind != yaml.ScalarNode {
		c.add(at, "must be a single value")
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(n.Value)
	case reflect.Bool:
		b, err := strconv.ParseBool(n.Value)
		if err != nil {
			c.add(at, "%q is neither true nor false", n.Value)
		}
		v.SetBool(b)
	default:
		if err := n.Decode(v.Addr().Interface()); err != nil {
			c.add(at, "%q is not a number", n.Value)
		}
	}
}

func fieldOf(v reflect.Value, name string) reflect.Value {
	for i := range v.NumField() {
		if tag, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ","); tag == name && !slices.Contains(internal, name) {
			return v.Field(i)
		}
	}
	return reflect.Value{}
}

// names lists the fields of a struct as files have them.
func names(t reflect.Type) (all []string) {
	for i := range t.NumField() {
		if tag, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); !slices.Contains(internal, tag) {
			all = append(all, tag)
		}
	}
	return all
}
