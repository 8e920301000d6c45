// Command schemas makes the JSON schemas for kubeconform in a folder: of every kind in
// the OpenAPI document of Kubernetes, and of CustomResourceDefinitions. Unknown fields
// fail in all of them.
//
//	schemas FOLDER swagger.json CRD.yaml...
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

// node is a part of a schema.
type node = map[string]any

// prefix is how the OpenAPI document refers to a definition, and so do the schemas.
const prefix = "#/definitions/"

// either are types that are numbers or texts, which the document calls texts.
var either = map[string]node{
	"io.k8s.apimachinery.pkg.util.intstr.IntOrString":               {"anyOf": []any{node{"type": "integer"}, node{"type": "string"}}},
	"io.k8s.apimachinery.pkg.api.resource.Quantity":                 {"anyOf": []any{node{"type": "number"}, node{"type": "string"}}},
	"io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1":                 {"type": "object"},
	"io.k8s.apimachinery.pkg.runtime.RawExtension":                  {"type": "object"},
	"io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON": {},
}

const objectMeta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: schemas FOLDER swagger.json CRD.yaml...")
		os.Exit(2)
	}
	n, err := run(os.Args[1], os.Args[2], os.Args[3:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "schemas:", err)
		os.Exit(1)
	}
	fmt.Printf("%d schemas\n", n)
}

func run(folder, swagger string, crds []string) (int, error) {
	data, err := os.ReadFile(swagger)
	if err != nil {
		return 0, err
	}
	var doc struct {
		Definitions map[string]node `json:"definitions"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return 0, err
	}
	definitions := make(node)
	for name, d := range doc.Definitions {
		definitions[name] = strict(d)
	}
	for name, d := range either {
		definitions[name] = d
	}
	count := 0
	for name, d := range doc.Definitions {
		kinds, _ := d["x-kubernetes-group-version-kind"].([]any)
		for _, k := range kinds {
			k := k.(node)
			schema := require(definitions[name].(node))
			if err := write(folder, text(k, "group"), text(k, "version"), text(k, "kind"), schema, definitions); err != nil {
				return 0, err
			}
			count++
		}
	}
	for _, name := range crds {
		n, err := custom(folder, name, definitions)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
		count += n
	}
	return count, nil
}

// custom writes the schemas of a CustomResourceDefinition.
func custom(folder, name string, definitions node) (int, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	var crd struct {
		Spec struct {
			Group    string
			Names    struct{ Kind string }
			Versions []struct {
				Name   string
				Schema struct {
					OpenAPIV3Schema node `json:"openAPIV3Schema"`
				}
			}
		}
	}
	if err := yaml.Unmarshal(data, &crd); err != nil {
		return 0, err
	}
	if len(crd.Spec.Versions) == 0 {
		return 0, errors.New("has no versions")
	}
	for _, v := range crd.Spec.Versions {
		schema := strict(v.Schema.OpenAPIV3Schema).(node)
		schema["properties"].(node)["metadata"] = node{"$ref": prefix + objectMeta}
		if err := write(folder, crd.Spec.Group, v.Name, crd.Spec.Names.Kind, require(schema), definitions); err != nil {
			return 0, err
		}
	}
	return len(crd.Spec.Versions), nil
}

// strict closes every object of which it is known what it has, and leaves out what is for
// people.
func strict(v any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = strict(v[i])
		}
		return out
	case node:
		out := make(node, len(v))
		for k, x := range v {
			_, isText := x.(string)
			switch {
			case k == "description" && isText, k == "example", k == "default", k == "format":
			case k == "properties":
				props := make(node)
				for name, p := range x.(node) {
					props[name] = strict(p)
				}
				out[k] = props
			default:
				out[k] = strict(x)
			}
		}
		if _, known := v["properties"].(node); known && v["x-kubernetes-preserve-unknown-fields"] != true {
			if _, told := out["additionalProperties"]; !told {
				out["additionalProperties"] = false
			}
		}
		if v["x-kubernetes-int-or-string"] == true {
			delete(out, "type")
		}
		return out
	}
	return v
}

// require returns a schema of an object that must tell what it is.
func require(schema node) node {
	out := make(node, len(schema)+1)
	for k, v := range schema {
		out[k] = v
	}
	list := []any{"apiVersion", "kind"}
	if old, ok := schema["required"].([]any); ok {
		list = append(list, old...)
	}
	out["required"] = list
	return out
}

// write writes a schema under the name that kubeconform looks for, with the definitions
// that it needs.
func write(folder, group, version, kind string, schema, definitions node) error {
	needed := make(node)
	collect(schema, definitions, needed)
	schema["definitions"] = needed
	data, err := json.Marshal(schema)
	if err != nil {
		return err
	}
	name := kind
	if group != "" {
		name += "-" + strings.Split(group, ".")[0]
	}
	return os.WriteFile(filepath.Join(folder, strings.ToLower(name+"-"+version)+".json"), data, 0o644)
}

// collect adds the definitions that v refers to.
func collect(v any, definitions, needed node) {
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			collect(x, definitions, needed)
		}
	case node:
		if ref, ok := v["$ref"].(string); ok {
			name := strings.TrimPrefix(ref, prefix)
			if _, seen := needed[name]; !seen {
				needed[name] = definitions[name]
				collect(definitions[name], definitions, needed)
			}
		}
		for _, x := range v {
			collect(x, definitions, needed)
		}
	}
}

func text(n node, key string) string {
	s, _ := n[key].(string)
	return s
}
