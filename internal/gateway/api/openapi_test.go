package api

import (
	"bytes"
	"encoding/json"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

const docURL = "https://example.com/openapi.json"

// description is openapi.json with a compiler for its schemas.
type description struct {
	Paths      map[string]map[string]json.RawMessage
	Components struct {
		Parameters    map[string]json.RawMessage
		RequestBodies map[string]json.RawMessage
		Responses     map[string]json.RawMessage
	}

	mu       sync.Mutex
	compiler *jsonschema.Compiler
	schemas  map[string]*jsonschema.Schema
}

type operation struct {
	OperationID string `json:"operationId"`
	Scope       *scope `json:"x-fanwire-scope"`
	Parameters  []parameter
	RequestBody *content
	Responses   map[string]content
	Security    *[]any
}

type parameter struct {
	Ref  string `json:"$ref"`
	Name string
	In   string
}

type content struct {
	Ref     string `json:"$ref"`
	Content map[string]struct {
		Schema   json.RawMessage
		Examples map[string]struct{ Value json.RawMessage }
	}
}

var loadDescription = sync.OnceValue(func() *description {
	d := &description{compiler: jsonschema.NewCompiler(), schemas: map[string]*jsonschema.Schema{}}
	if err := json.Unmarshal(openapiText(), d); err != nil {
		panic(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(openapiText()))
	if err != nil {
		panic(err)
	}
	d.compiler.DefaultDraft(jsonschema.Draft2020)
	d.compiler.AssertFormat()
	if err := d.compiler.AddResource(docURL, doc); err != nil {
		panic(err)
	}
	return d
})

// validate compares JSON with the schema at a pointer.
func (d *description) validate(pointer string, text []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.schemas[pointer]
	if s == nil {
		var err error
		if s, err = d.compiler.Compile(docURL + "#" + pointer); err != nil {
			return err
		}
		d.schemas[pointer] = s
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return s.Validate(v)
}

func escapePointer(s string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(s)
}

// operation returns what is said of a method of a path, and the pointer to it.
func (d *description) operation(t testing.TB, method, path string) (op *operation, pointer string) {
	t.Helper()
	raw, ok := d.Paths[path][strings.ToLower(method)]
	if !ok {
		return nil, ""
	}
	op = &operation{}
	if err := json.Unmarshal(raw, op); err != nil {
		t.Fatal(err)
	}
	return op, "/paths/" + escapePointer(path) + "/" + strings.ToLower(method)
}

// resolve follows a reference to a part of the components.
func (d *description) resolve(t testing.TB, c content, pointer string) (content, string) {
	t.Helper()
	if c.Ref == "" {
		return c, pointer
	}
	pointer = strings.TrimPrefix(c.Ref, "#")
	name := pointer[strings.LastIndexByte(pointer, '/')+1:]
	raw := d.Components.Responses[name]
	if strings.HasPrefix(pointer, "/components/requestBodies/") {
		raw = d.Components.RequestBodies[name]
	}
	var out content
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatalf("%s: %v", c.Ref, err)
	}
	return out, pointer
}

// checkAnswer compares an answer with the description of its operation. Requests
// that are none's are left alone.
func checkAnswer(t testing.TB, a *API, req *http.Request, res *answer) {
	t.Helper()
	route, _, _ := a.match(req.Method, req.URL.EscapedPath())
	if route == nil || req.Method == http.MethodHead {
		return
	}
	d := loadDescription()
	op, at := d.operation(t, route.method, route.path)
	if op == nil {
		t.Errorf("%s %s is not described", route.method, route.path)
		return
	}
	status := strconv.Itoa(res.StatusCode)
	said, ok := op.Responses[status]
	if !ok {
		t.Errorf("%s: the status %s is not described", route.name, status)
		return
	}
	said, at = d.resolve(t, said, at+"/responses/"+status)
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if len(said.Content) == 0 {
		if res.text != "" || kind != "" {
			t.Errorf("%s: %s with a body %q %s, which is not described", route.name, status, kind, res.text)
		}
		return
	}
	if _, ok := said.Content[kind]; !ok {
		t.Errorf("%s: %s of the type %q, which is not described", route.name, status, kind)
		return
	}
	if strings.HasSuffix(kind, "json") {
		if err := d.validate(at+"/content/"+escapePointer(kind)+"/schema", []byte(res.text)); err != nil {
			t.Errorf("%s: %s %s\n%#v", route.name, status, res.text, err)
		}
	}
}

// Each operation is described, and nothing else is.
func TestDescriptionHasAllOperations(t *testing.T) {
	a, d := &API{}, loadDescription()
	described := map[string]bool{}
	for path, methods := range d.Paths {
		for method := range methods {
			if method != "parameters" {
				described[strings.ToUpper(method)+" "+path] = true
			}
		}
	}
	for _, r := range a.table() {
		name := r.method + " " + r.path
		if !described[name] {
			t.Errorf("%s is not described", name)
			continue
		}
		delete(described, name)
		op, _ := d.operation(t, r.method, r.path)
		if op.OperationID != r.name || op.Scope == nil || *op.Scope != r.scope {
			t.Errorf("%s: described as %q with the scope %v, is %q with %q", name, op.OperationID, op.Scope, r.name, r.scope)
		}
		if open := op.Security != nil && len(*op.Security) == 0; open != (r.scope == public && !r.changes()) {
			t.Errorf("%s: needs a key, or not, other than described", name)
		}
		if (op.RequestBody != nil) != r.body {
			t.Errorf("%s: takes a body, or not, other than described", name)
		}
		checkParameters(t, d, r, op)
	}
	for name := range described {
		t.Errorf("%s is described and does not exist", name)
	}
}

// checkParameters compares the parameters in the path, and those of POST.
func checkParameters(t *testing.T, d *description, r *route, op *operation) {
	t.Helper()
	var common []parameter
	if raw, ok := d.Paths[r.path]["parameters"]; ok {
		if err := json.Unmarshal(raw, &common); err != nil {
			t.Fatal(err)
		}
	}
	var inPath []string
	idempotent := false
	for _, p := range append(common, op.Parameters...) {
		if p.Ref != "" {
			raw := d.Components.Parameters[p.Ref[strings.LastIndexByte(p.Ref, '/')+1:]]
			if err := json.Unmarshal(raw, &p); err != nil {
				t.Fatalf("%s: %v", p.Ref, err)
			}
		}
		if p.In == "path" {
			inPath = append(inPath, "{"+p.Name+"}")
		}
		idempotent = idempotent || p.In == "header" && p.Name == idempotencyHeader
	}
	var want []string
	for _, s := range r.segments {
		if s[0] == '{' {
			want = append(want, s)
		}
	}
	if !slices.Equal(inPath, want) {
		t.Errorf("%s: parameters %v are described, has %v", r.name, inPath, want)
	}
	if idempotent != (r.method == http.MethodPost) {
		t.Errorf("%s: takes %s, or not, other than described", r.name, idempotencyHeader)
	}
}

// Each example of a request fits its schema and is accepted.
func TestExamplesAreAccepted(t *testing.T) {
	c := newCluster(t, 2)
	d, n := loadDescription(), 0
	for _, r := range c.nodes[0].api.routes {
		if !r.body {
			continue
		}
		op, at := d.operation(t, r.method, r.path)
		body, at := d.resolve(t, *op.RequestBody, at+"/requestBody")
		examples := body.Content["application/json"].Examples
		if len(examples) == 0 {
			t.Errorf("%s has no example", r.name)
		}
		for name, e := range examples {
			n++
			if err := d.validate(at+"/content/application~1json/schema", e.Value); err != nil {
				t.Errorf("%s: example %s does not fit its schema: %#v", r.name, name, err)
			}
			s := c.nodes[1].connect(t, "/", nil)
			path := strings.NewReplacer("{namespace}", "%2F", "{socket}", s.ID()).Replace(r.path)
			res := c.nodes[0].do(t, allKey, r.method, path, string(e.Value))
			if res.StatusCode >= 300 {
				t.Errorf("%s: example %s: %s %s", r.name, name, res.Status, res.text)
			}
		}
	}
	if n < 10 {
		t.Errorf("%d examples were found", n)
	}
}

func TestDescriptionIsServed(t *testing.T) {
	g := newCluster(t, 1).nodes[0]
	if a := g.do(t, "", "GET", "/v1/openapi.yaml", ""); a.text != string(openapi) {
		t.Errorf("%s, %d bytes", a.Status, len(a.text))
	}
	a := g.do(t, "", "GET", "/v1/openapi.json", "")
	var doc struct{ OpenAPI string }
	if a.decode(t, &doc); doc.OpenAPI != "3.1.0" {
		t.Error(a.Status, doc)
	}
}
