package main_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/fanwire/fanwire"

// picture is the house: every package and the packages of ours that it may
// import (docs/decisions/0001-packages.md). Arrows point down:
//
//	4   main.go                      loadtest, e2e     programs
//	        |                             |
//	3   internal/gateway, demo, emitcmd client         the programs' parts; the Go client
//	        |        \                    |
//	2    node     adapter/redis           |            library; broker (they do not know each other)
//	      |   \      /    |               |
//	1  engine  adapter    |               |            node/internal/engine; the contract between nodes
//	      |        |      |               |
//	0  protocol/engineio, socketio, msgpack; internal/args, listener, buildinfo
//
// A row ending in /... is for all packages below. To add an arrow, change the
// decision first and say why.
var picture = map[string][]string{
	"protocol/engineio": {},
	"protocol/socketio": {},
	"protocol/msgpack":  {"protocol/socketio"}, // for its Parser
	"protocol/testdata": {},                    // the vectors
	"internal/args":     {"protocol/socketio"},
	"internal/listener": {},

	"internal/buildinfo": {},
	"internal/leaktest":  {}, // for the test files of all packages
	"internal/release":   {}, // a program for releases, beside the others

	"node/internal/engine":   {"protocol/engineio"},
	"client/internal/engine": {"protocol/engineio"},
	"adapter/internal/queue": {},
	"adapter":                {"adapter/internal/queue"},
	"adapter/adaptertest":    {"adapter"},

	"adapter/redis":           {"adapter", "adapter/internal/queue", "protocol/socketio", "protocol/msgpack", "internal/args"}, // args for the emitter
	"adapter/redis/redistest": {},                                                                                              // starts real servers for tests
	"node":                    {"node/internal/engine", "adapter", "protocol/engineio", "protocol/socketio", "internal/args"},

	"client":        {"client/internal/engine", "protocol/engineio", "protocol/socketio", "protocol/msgpack", "internal/args"},
	"internal/demo": {"node", "adapter", "adapter/redis", "internal/listener"},

	// The gateway's parts (docs/decisions/0009-gateway.md); only the root knows all.
	"internal/gateway":          {"node", "adapter", "adapter/redis", "protocol/msgpack", "internal/listener", "internal/gateway/..."}, // msgpack is a node.Config.Parser
	"internal/gateway/template": {},
	"internal/gateway/config":   {"internal/gateway/template"},
	"internal/gateway/command":  {"node", "internal/gateway/template"},
	"internal/gateway/identity": {"node", "internal/gateway/template", "internal/gateway/config"},
	"internal/gateway/webhook":  {"internal/gateway/config", "internal/gateway/command"},
	"internal/gateway/rules":    {"node", "internal/gateway/template", "internal/gateway/config", "internal/gateway/command", "internal/gateway/identity", "internal/gateway/webhook"},
	"internal/gateway/api":      {"node", "adapter", "internal/gateway/template", "internal/gateway/config", "internal/gateway/command", "internal/gateway/identity"},
	"internal/gateway/observe":  {"node", "adapter", "internal/listener", "internal/gateway/config"},
	"internal/gateway/adminui":  {"node", "internal/gateway/config"},
	"internal/gateway/console":  {},
	"internal/gateway/loadtest": {"node"},

	"internal/emitcmd":  {"adapter/redis"},
	"internal/servecmd": {"internal/gateway", "internal/gateway/config", "internal/gateway/identity", "internal/buildinfo"},

	"internal/clustertest": {"client", "node", "adapter", "protocol/socketio"}, // what clients of a cluster see, for the tests of all three

	".":            {"internal/demo", "internal/emitcmd", "internal/servecmd", "internal/buildinfo"},
	"docs":         {}, // examples only
	"loadtest":     {"client", "loadtest/...", "internal/buildinfo"},
	"loadtest/...": {"client", "loadtest/...", "adapter/redis", "protocol/socketio", "protocol/msgpack", "internal/buildinfo"}, // to publish over Redis; to choose the client's parser
	"e2e/...":      {"client", "node", "adapter", "adapter/redis", "internal/listener", "protocol/...", "e2e/...", "internal/gateway/adminui", "internal/gateway/console", "internal/gateway/config"},
}

// testsMay lists what test files may import besides, here and in every package, and
// internal/leaktest; a package's tests may import the package.
var testsMay = []string{
	"client", "node", "adapter", "adapter/adaptertest", "adapter/redis", "adapter/redis/redistest", "internal/listener",
	"internal/clustertest",
	"protocol/...",
}

// testsOf lists what the test files of one package may import besides.
var testsOf = map[string][]string{
	"loadtest": {"internal/gateway/loadtest"}, // the server that users test
}

// testsMayNot keeps the tests of level 0 alone and the halves of level 2 apart.
var testsMayNot = map[string][]string{
	"protocol/engineio": notProtocol,
	"protocol/socketio": notProtocol,
	"protocol/msgpack":  notProtocol,
	"internal/args":     notProtocol,
	"internal/listener": notProtocol,
	"adapter/redis":     {"node"},

	"internal/buildinfo": slices.Concat(notProtocol, []string{"protocol/..."}),
}

var notProtocol = testsMay[:len(testsMay)-1]

// foreign is the modules that packages may import. Packages without a row, the
// codecs among them, have the standard library only.
var foreign = map[string][]string{
	"node/internal/engine":    {"github.com/gorilla/websocket", "golang.org/x/time"},
	"client/internal/engine":  {"github.com/gorilla/websocket"},
	"adapter/adaptertest":     {"go.uber.org/goleak"},
	"adapter/redis":           {"github.com/redis/go-redis/v9"},
	"adapter/redis/redistest": {"github.com/redis/go-redis/v9"},
	"internal/demo":           {"github.com/redis/go-redis/v9", "github.com/alicebob/miniredis/v2"},
	"internal/emitcmd":        {"github.com/redis/go-redis/v9"},

	"internal/gateway":          {"github.com/redis/go-redis/v9", "github.com/alicebob/miniredis/v2", "github.com/google/uuid"},
	"internal/gateway/config":   {"go.yaml.in/yaml/v3"},
	"internal/gateway/identity": {"github.com/golang-jwt/jwt/v5", "github.com/redis/go-redis/v9"},
	"internal/gateway/webhook":  {"github.com/google/uuid"},
	"internal/gateway/rules":    {"github.com/redis/go-redis/v9", "golang.org/x/time"},
	"internal/gateway/api":      {"github.com/redis/go-redis/v9", "golang.org/x/time", "go.yaml.in/yaml/v3"},
	"internal/gateway/observe":  {"github.com/prometheus/client_golang", "go.opentelemetry.io/otel", "go.opentelemetry.io/otel/sdk", "go.opentelemetry.io/otel/trace", "go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp", "go.opentelemetry.io/proto/otlp", "google.golang.org/protobuf"}, // the last two for the collector in its tests
	"internal/gateway/adminui":  {"golang.org/x/crypto"},
	"internal/servecmd":         {"github.com/alecthomas/kong"},
	"internal/leaktest":         {"go.uber.org/goleak"},
	"internal/release":          {"go.yaml.in/yaml/v3"}, // its tests read the workflows

	".":            {"github.com/alecthomas/kong", "go.yaml.in/yaml/v3"}, // the latter in its tests, for docs/balancers
	"loadtest":     {"github.com/alecthomas/kong"},
	"loadtest/...": {"github.com/HdrHistogram/hdrhistogram-go", "go.yaml.in/yaml/v3", "golang.org/x/sys", "golang.org/x/term", "github.com/redis/go-redis/v9", "github.com/alecthomas/kong"},
	"e2e/...":      {"github.com/redis/go-redis/v9", "github.com/gorilla/websocket", "golang.org/x/sys"},
}

// foreignInTests is for the test files of all packages.
var foreignInTests = []string{
	"go.uber.org/goleak",
	"github.com/google/go-cmp",
	"github.com/gorilla/websocket",
	"github.com/redis/go-redis/v9",
	"github.com/alicebob/miniredis/v2",
	"github.com/santhosh-tekuri/jsonschema/v6", // documents about JSON are compared with what is sent
}

type goPackage struct {
	ImportPath   string
	Standard     bool
	Module       *struct{ Path string }
	Imports      []string
	TestImports  []string
	XTestImports []string
	Deps         []string
}

// own is the path inside the module, "." for its root.
func (p *goPackage) own() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
}

func goList(t *testing.T, args ...string) map[string]*goPackage {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Standard,Module,Imports,TestImports,XTestImports,Deps"}, args...)...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	packages := make(map[string]*goPackage)
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		p := new(goPackage)
		if err := dec.Decode(p); err != nil {
			t.Fatal(err)
		}
		packages[p.ImportPath] = p
	}
	return packages
}

// TestImports fails on an arrow that nobody drew.
func TestImports(t *testing.T) {
	all := goList(t, "-deps", "-test", "./...")
	for _, path := range slices.Sorted(maps.Keys(goList(t, "./..."))) {
		p := all[path]
		name := cmp.Or(p.own(), ".")
		row, ok := lookUp(picture, name)
		if !ok {
			t.Errorf("%s is not in the picture: draw it, and say why in docs/decisions", name)
			continue
		}
		for _, imp := range p.Imports {
			checkImport(t, all, name, imp, row, rowOf(foreign, name))
		}
		tests := append(slices.Concat(row, testsOf[name]), name, "internal/leaktest")
		for _, may := range testsMay {
			if !slices.Contains(testsMayNot[name], may) {
				tests = append(tests, may)
			}
		}
		modules := append(rowOf(foreign, name), foreignInTests...)
		for _, imp := range slices.Concat(p.TestImports, p.XTestImports) {
			checkImport(t, all, name+" (test)", imp, tests, modules)
		}
	}
}

func checkImport(t *testing.T, all map[string]*goPackage, from, imp string, row, modules []string) {
	t.Helper()
	p, ok := all[imp]
	switch {
	case imp == "C":
		t.Errorf("%s uses cgo", from)
	case !ok:
		t.Errorf("%s imports %s, which go list does not know", from, imp)
	case p.Standard:
	case p.Module.Path != module:
		if !slices.Contains(modules, p.Module.Path) {
			t.Errorf("%s imports %s: this module is not meant for it", from, imp)
		}
	case !matches(row, p.own()):
		t.Errorf("%s imports %s: no such arrow in the picture", from, p.own())
	}
}

// TestCodecsAreAlone looks at all dependencies, not just at imports.
func TestCodecsAreAlone(t *testing.T) {
	all := goList(t, "-deps", "./protocol/...")
	for _, p := range all {
		if !p.Standard && !strings.HasPrefix(p.own(), "protocol/") {
			t.Errorf("protocol depends on %s", p.ImportPath)
		}
		if p.Standard && slices.Contains([]string{"net", "net/http", "os/exec", "log", "log/slog"}, p.ImportPath) {
			t.Errorf("a codec depends on %s: no I/O, no logging", p.ImportPath)
		}
	}
}

// TestInternalEngine: what is below node/internal is for package node itself.
func TestInternalEngine(t *testing.T) {
	for path, p := range goList(t, "./...") {
		for _, imp := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			if strings.HasPrefix(imp, module+"/node/internal/") && path != module+"/node" && path != imp {
				t.Errorf("%s imports %s", path, imp)
			}
		}
	}
}

// TestServers: there is one place that makes an http.Server, package
// internal/listener. Tests and examples, which cannot or need not use it, say at
// least how long headers may take (HRD-10), or leave it to httptest. The yardstick
// of the benchmarks is net/http as it comes, on loopback.
func TestServers(t *testing.T) {
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		slash := filepath.ToSlash(path)
		if d.IsDir() {
			if d.Name() == "node_modules" || slash == "e2e/bench/bin" || path != "." && strings.HasPrefix(d.Name(), ".") {
				return fs.SkipDir
			}
			return nil
		}
		switch {
		case filepath.Ext(path) != ".go", slash == "internal/listener/listener.go":
		case strings.HasPrefix(slash, "e2e/bench/servers/floor/"):
		default:
			checkServers(t, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

var forbiddenFuncs = []string{"ListenAndServe", "ListenAndServeTLS", "Serve", "ServeTLS"}

func checkServers(t *testing.T, path string) {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, path, nil, 0)
	if err != nil {
		t.Error(err)
		return
	}
	local := importName(f, "net/http")
	if local == "" {
		return
	}
	timed := make(map[ast.Node]bool) // type expressions of literals that are right
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CompositeLit:
			if strings.HasSuffix(path, "_test.go") && value(n, "ReadHeaderTimeout") != nil {
				timed[n.Type] = true
			}
			if ref, ok := value(n, "Config").(*ast.UnaryExpr); ok && isSelector(n.Type, "httptest", "Server") {
				if lit, ok := ref.X.(*ast.CompositeLit); ok {
					timed[lit.Type] = true
				}
			}
		case *ast.SelectorExpr:
			if isSelector(n, local, forbiddenFuncs...) || isSelector(n, local, "Server") && !timed[n] {
				t.Errorf("%s: %s.%s outside of internal/listener", fset.Position(n.Pos()), local, n.Sel.Name)
			}
		}
		return true
	})
}

func importName(f *ast.File, path string) string {
	for _, imp := range f.Imports {
		if p, err := strconv.Unquote(imp.Path.Value); err != nil || p != path {
			continue
		}
		if imp.Name != nil {
			return imp.Name.Name
		}
		return path[strings.LastIndexByte(path, '/')+1:]
	}
	return ""
}

// value is what a literal gives for a key, nil if it does not.
func value(lit *ast.CompositeLit, key string) ast.Expr {
	for _, e := range lit.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			if id, ok := kv.Key.(*ast.Ident); ok && id.Name == key {
				return kv.Value
			}
		}
	}
	return nil
}

// isSelector tells whether e is pkg.name for one of the names.
func isSelector(e ast.Expr, pkg string, names ...string) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := s.X.(*ast.Ident)
	return ok && x.Name == pkg && slices.Contains(names, s.Sel.Name)
}

// lookUp finds the row of a package: its own, or the nearest ending in /...
func lookUp(rows map[string][]string, name string) ([]string, bool) {
	if row, ok := rows[name]; ok {
		return row, true
	}
	for dir := name; dir != "."; {
		if row, ok := rows[dir+"/..."]; ok {
			return row, true
		}
		dir = filepath.ToSlash(filepath.Dir(dir))
	}
	return nil, false
}

func rowOf(rows map[string][]string, name string) []string {
	row, _ := lookUp(rows, name)
	return slices.Clone(row)
}

func matches(row []string, name string) bool {
	for _, r := range row {
		if base, all := strings.CutSuffix(r, "/..."); r == name || all && (name == base || strings.HasPrefix(name, base+"/")) {
			return true
		}
	}
	return false
}
