package node

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// docTypes are what docs/api.md calls by these names.
var docTypes = map[string]reflect.Type{
	"srv":          reflect.TypeFor[*Server](),
	"ns":           reflect.TypeFor[*Namespace](),
	"s":            reflect.TypeFor[*Socket](),
	"b":            reflect.TypeFor[Broadcast](),
	"rs":           reflect.TypeFor[RemoteSocket](),
	"Config":       reflect.TypeFor[Config](),
	"Limits":       reflect.TypeFor[Limits](),
	"Disconnect":   reflect.TypeFor[Disconnect](),
	"PartialError": reflect.TypeFor[PartialError](),
}

// Every name of this package in docs/api.md exists: `srv.Of("/")`, `node.On`,
// `Config.Path`, and alone, like `OnError`.
func TestDocsNameAPI(t *testing.T) {
	text, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	exported := exportedNames(t)
	span := regexp.MustCompile("`([^`\n]+)`")
	member := regexp.MustCompile(`(?:^|[^\w.])(node|srv|ns|s|b|rs|Config|Limits|Disconnect|PartialError)\.([A-Z]\w*)`)
	chained := regexp.MustCompile(`\)\.([A-Z]\w*)`)
	alone := regexp.MustCompile(`^([A-Z]\w*)(?:\(|$)`)
	seen := 0
	check := func(span string, ok bool) {
		seen++
		if !ok {
			t.Errorf("docs/api.md: what is %s?", span)
		}
	}
	for _, m := range span.FindAllStringSubmatch(string(text), -1) {
		for _, name := range member.FindAllStringSubmatch(m[1], -1) {
			check(m[0], name[1] == "node" && exported[name[2]] || hasMember(docTypes[name[1]], name[2]))
		}
		for _, name := range chained.FindAllStringSubmatch(m[1], -1) {
			check(m[0], isMember(name[1]))
		}
		if name := alone.FindStringSubmatch(m[1]); name != nil {
			check(m[0], exported[name[1]] || isMember(name[1]))
		}
	}
	if seen < 100 {
		t.Errorf("%d names found: do the patterns still fit?", seen)
	}
}

// hasMember tells whether a type has a method or field of that name.
func hasMember(typ reflect.Type, name string) bool {
	if typ == nil {
		return false
	}
	if _, ok := typ.MethodByName(name); ok {
		return true
	}
	if typ.Kind() != reflect.Struct {
		return false
	}
	_, ok := typ.FieldByName(name)
	return ok
}

// isMember tells whether any of the types has it.
func isMember(name string) bool {
	for _, typ := range docTypes {
		if hasMember(typ, name) {
			return true
		}
	}
	return false
}

// exportedNames are those that the package declares.
func exportedNames(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			declared(names, d)
		}
	}
	return names
}

// declared adds the names that d declares.
func declared(names map[string]bool, d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			names[d.Name.Name] = true
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				names[spec.Name.Name] = true
			case *ast.ValueSpec:
				for _, id := range spec.Names {
					names[id.Name] = true
				}
			}
		}
	}
}
