package client

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const guide = "../docs/client.md"

// What docs/client.md calls a name of this package is one, and every option has
// its place there.
func TestGuideNames(t *testing.T) {
	page, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	names := exportedNames(t)
	seen := make(map[string]bool)
	for _, m := range regexp.MustCompile("`([A-Za-z]+\\.[A-Z][A-Za-z0-9]*)[^`]*`").FindAllStringSubmatch(string(page), -1) {
		prefix, _, _ := strings.Cut(m[1], ".")
		if prefix != "client" && !names["client."+prefix] {
			continue // of another package
		}
		if seen[m[1]] = true; !names[m[1]] {
			t.Errorf("there is no %s", m[1])
		}
	}
	for name := range names {
		prefix, _, _ := strings.Cut(name, ".")
		if (prefix == "Options" || prefix == "Client" || prefix == "Socket") && !seen[name] {
			t.Errorf("%s is not in %s", name, guide)
		}
	}
}

// exportedNames has "client.Name", "Type.Method" and "Type.Field".
func exportedNames(t *testing.T) map[string]bool {
	t.Helper()
	files := token.NewFileSet()
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var parsed []*ast.File
	for _, path := range paths {
		if !strings.HasSuffix(path, "_test.go") {
			f, err := parser.ParseFile(files, path, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			parsed = append(parsed, f)
		}
	}
	pkg, err := doc.NewFromFiles(files, parsed, "client")
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, values := range [][]*doc.Value{pkg.Consts, pkg.Vars} {
		for _, v := range values {
			addNames(names, "client", v.Names)
		}
	}
	addFuncs(names, "client", pkg.Funcs)
	for _, typ := range pkg.Types {
		names["client."+typ.Name] = true
		addFuncs(names, "client", typ.Funcs)
		addFuncs(names, typ.Name, typ.Methods)
		for _, v := range typ.Consts {
			addNames(names, "client", v.Names)
		}
		for _, spec := range typ.Decl.Specs {
			if s, ok := spec.(*ast.TypeSpec).Type.(*ast.StructType); ok {
				for _, field := range s.Fields.List {
					for _, id := range field.Names {
						addNames(names, typ.Name, []string{id.Name})
					}
				}
			}
		}
	}
	return names
}

func addNames(names map[string]bool, prefix string, list []string) {
	for _, name := range list {
		names[prefix+"."+name] = true
	}
}

func addFuncs(names map[string]bool, prefix string, list []*doc.Func) {
	for _, f := range list {
		names[prefix+"."+f.Name] = true
	}
}

// official interfaces and classes, and the files of their declarations.
var officialAPI = []struct{ file, kind, name string }{
	{"socket.io-client/build/esm/manager.d.ts", "interface", "ManagerOptions"},
	{"socket.io-client/build/esm/manager.d.ts", "interface", "ManagerReservedEvents"},
	{"socket.io-client/build/esm/manager.d.ts", "class", "Manager"},
	{"socket.io-client/build/esm/socket.d.ts", "interface", "SocketOptions"},
	{"socket.io-client/build/esm/socket.d.ts", "interface", "SocketReservedEvents"},
	{"socket.io-client/build/esm/socket.d.ts", "class", "Socket"},
	{"engine.io-client/build/esm/socket.d.ts", "interface", "SocketOptions"},
	{"engine.io-client/build/esm/socket.d.ts", "interface", "SocketReservedEvents"},
	{"engine.io-client/build/esm/socket.d.ts", "class", "Socket"},
}

// Every option, event and public member that the official packages declare stands
// in the first column of a table of docs/client.md.
func TestGuideIsComplete(t *testing.T) {
	modules := os.Getenv(officialEnv)
	if modules == "" {
		t.Skipf("SKIPPED: %s is not set; it names a node_modules folder with socket.io-client", officialEnv)
	}
	page, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	listed := make(map[string]bool)
	for line := range strings.Lines(string(page)) {
		if first, ok := strings.CutPrefix(line, "| "); ok {
			first, _, _ = strings.Cut(first, " | ")
			for _, m := range regexp.MustCompile("`(\\w+)[^`]*`").FindAllStringSubmatch(first, -1) {
				listed[m[1]] = true
			}
		}
	}
	for _, api := range officialAPI {
		text, err := os.ReadFile(filepath.Join(modules, api.file))
		if err != nil {
			t.Fatal(err)
		}
		members := declared(string(text), api.kind, api.name)
		if len(members) < 3 {
			t.Errorf("%s %s: only %q: does the pattern still fit?", api.file, api.name, members)
		}
		for _, name := range members {
			if !listed[name] {
				t.Errorf("%s of %s is not in %s", name, api.name, guide)
			}
		}
	}
}

// declared returns the public members of an interface or class in the text of a
// declaration file.
func declared(text, kind, name string) (members []string) {
	head := regexp.MustCompile(`(?m)^export (?:declare )?(?:abstract )?` + kind + ` ` + name + `\b`)
	at := head.FindStringIndex(text)
	if at == nil {
		return nil
	}
	body, _, _ := strings.Cut(text[at[1]:], "\n}")
	member := regexp.MustCompile(`(?m)^    (?:readonly |static |get )*([A-Za-z]\w*)[?(<:]`)
	for _, m := range member.FindAllStringSubmatch(body, -1) {
		if m[1] != "constructor" {
			members = append(members, m[1])
		}
	}
	return members
}
