package main_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The pages name options of the packages; each must exist.
func TestDocsNameOptionsThatExist(t *testing.T) {
	fields := make(map[string]bool)
	for name, dir := range map[string]string{"node": "node", "redis": "adapter/redis", "listener": "internal/listener"} {
		collectFields(t, fields, name, dir)
	}
	option := regexp.MustCompile("`((?:node|redis|listener)\\.(?:Config|Limits|CORS)\\.[A-Za-z]+)`")
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, page := range append(pages, "README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range option.FindAllStringSubmatch(string(text), -1) {
			seen++
			if !fields[m[1]] {
				t.Errorf("%s: there is no %s", page, m[1])
			}
		}
	}
	if seen == 0 {
		t.Error("no option found: does the pattern still fit?")
	}
}

// The server in README.md is the example in docs, which compiles.
func TestReadmeServerIsTheExample(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(readme), "```go\n")
	code, _, _ = strings.Cut(code, "```")
	example, err := os.ReadFile("docs/readme_example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.NewReplacer("package docs_test", "package main", "func Example()", "func main()").Replace(string(example))
	if code != want {
		t.Errorf("README.md has\n%s\nand docs/readme_example_test.go\n%s", code, want)
	}
}

// Links to files of the repository lead somewhere.
func TestLinks(t *testing.T) {
	pages, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"docs/*.md", "docs/*/*.md"} {
		more, err := filepath.Glob(dir)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, more...)
	}
	link, code := regexp.MustCompile(`\]\(([^)#]+)`), regexp.MustCompile("(?s)```.*?```|`[^`\n]*`")
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(string(text), ""), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
}

// collectFields adds "name.Type.Field" for the structs of a package.
func collectFields(t *testing.T, fields map[string]bool, name, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if st, ok := spec.Type.(*ast.StructType); ok {
				for _, field := range st.Fields.List {
					for _, id := range field.Names {
						fields[strings.Join([]string{name, spec.Name.Name, id.Name}, ".")] = true
					}
				}
			}
			return false
		})
	}
}

// The recipes for balancers have the names that docker-compose.yml and the page use,
// and each is on the page.
func TestBalancersAreOnThePage(t *testing.T) {
	page, err := os.ReadFile("docs/balancing.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("docs/balancers/*")
	if err != nil || len(files) < 15 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"node1:3000", "node2:3000", "node3:3000", "8080"}
		switch name := filepath.Base(file); {
		case strings.HasPrefix(name, "traefik-static"):
			want = want[3:]
		case strings.HasPrefix(name, "traefik-"):
			want = want[:3]
		case strings.HasPrefix(name, "envoy-"):
			want = []string{"address: node1, port_value: 3000", "8080"}
		}
		for _, w := range want {
			if !strings.Contains(string(text), w) {
				t.Errorf("%s does not name %s", file, w)
			}
		}
		if !strings.Contains(string(page), "](balancers/"+filepath.Base(file)+")") {
			t.Errorf("%s is not on the page", file)
		}
		var v any
		if err := yaml.Unmarshal(text, &v); filepath.Ext(file) == ".yaml" && err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}
