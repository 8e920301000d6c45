package config

import (
	_ "embed" // the structure is its own documentation
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"sync"
)

//go:embed config.go
var source string

// comments returns what the comments in config.go say, on one line each: of fields by
// "Type.Field", up to the first empty line, and of types by "Type".
var comments = sync.OnceValue(func() map[string]string {
	f, err := parser.ParseFile(token.NewFileSet(), "config.go", source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		panic(err) // it was compiled
	}
	docs := make(map[string]string)
	for _, decl := range f.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.TYPE {
			continue
		}
		for _, spec := range gen.Specs {
			t := spec.(*ast.TypeSpec)
			docs[t.Name.Name] = paragraph(gen.Doc)
			st, ok := t.Type.(*ast.StructType)
			if !ok {
				continue
			}
			for _, field := range st.Fields.List {
				for _, name := range field.Names {
					docs[t.Name.Name+"."+name.Name] = paragraph(field.Doc)
				}
			}
		}
	}
	return docs
})

// paragraph is the first one of a comment, on one line.
func paragraph(doc *ast.CommentGroup) string {
	first, _, _ := strings.Cut(doc.Text(), "\n\n")
	return strings.Join(strings.Fields(first), " ")
}
