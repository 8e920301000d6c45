package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

const lock = `{"name": "x", "lockfileVersion": 3, "packages": {
	"": {"name": "x", "dependencies": {"@a/b": "1"}},
	"node_modules/@a/b": {"version": "1.0.0", "license": "MIT", "integrity": "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="},
	"node_modules/@a/b/node_modules/c": {"version": "2.0.0"},
	"node_modules/tool": {"version": "3.0.0", "dev": true}
}}`

// sbom makes a bill of materials of this test's own program.
func sbom(t *testing.T, args ...string) (*document, []byte) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	args = append([]string{"sbom", "-version=v1.2.3", "-created=2026-11-29T18:20:00Z"}, append(args, self)...)
	if err := run(args, &out); err != nil {
		t.Fatal(err)
	}
	d := new(document)
	dec := json.NewDecoder(bytes.NewReader(out.Bytes()))
	dec.DisallowUnknownFields()
	if err := dec.Decode(d); err != nil {
		t.Fatal(err)
	}
	return d, out.Bytes()
}

// check holds a document to what SPDX 2.3 asks of it: clause 6 for the document, 7 for
// packages, 11 for relationships.
func check(t *testing.T, d *document) {
	t.Helper()
	id := regexp.MustCompile(`^SPDXRef-[0-9A-Za-z.-]+$`)
	ids := map[string]bool{d.ID: true}
	if d.SPDXVersion != "SPDX-2.3" || d.DataLicense != "CC0-1.0" || d.ID != "SPDXRef-DOCUMENT" || d.Name == "" {
		t.Errorf("document %+v", d)
	}
	if !regexp.MustCompile(`^https://[^\s#]+$`).MatchString(d.Namespace) {
		t.Errorf("namespace %q", d.Namespace)
	}
	for _, creator := range d.Creation.Creators {
		if !regexp.MustCompile(`^(Tool|Organization|Person): .`).MatchString(creator) {
			t.Errorf("creator %q", creator)
		}
	}
	for _, p := range d.Packages {
		if !id.MatchString(p.ID) || ids[p.ID] {
			t.Errorf("id %q is not of the form, or stands twice", p.ID)
		}
		ids[p.ID] = true
		if p.Name == "" || p.DownloadLocation == "" || p.LicenseConcluded == "" || p.LicenseDeclared == "" || p.Copyright == "" {
			t.Errorf("package without a needed field: %+v", p)
		}
		for _, r := range p.Refs {
			if !regexp.MustCompile(`^pkg:(golang|npm)/\S+@\S+$`).MatchString(r.Locator) {
				t.Errorf("%s: purl %q", p.Name, r.Locator)
			}
		}
	}
	if !slices.ContainsFunc(d.Relationships, func(r relationship) bool { return r.From == d.ID && r.Type == "DESCRIBES" }) {
		t.Error("the document describes nothing")
	}
	for _, r := range d.Relationships {
		if !ids[r.From] || !ids[r.To] {
			t.Errorf("relationship of what is not there: %+v", r)
		}
	}
}

func (d *document) find(t *testing.T, name string) *part {
	t.Helper()
	for _, p := range d.Packages {
		if p.Name == name {
			return p
		}
	}
	t.Fatalf("no package %s", name)
	return nil
}

func TestSBOMOfAProgram(t *testing.T) {
	d, text := sbom(t)
	check(t, d)
	program := d.Packages[0]
	if d.Creation.Created != "2026-11-29T18:20:00Z" || program.Version != "v1.2.3" || program.Purpose != "APPLICATION" ||
		len(program.Checksums) != 1 || len(program.Checksums[0].Value) != 64 || program.LicenseDeclared != "MIT" {
		t.Errorf("%+v", program)
	}
	if std := d.find(t, "stdlib"); !strings.HasPrefix(std.Refs[0].Locator, "pkg:golang/stdlib@1.") {
		t.Errorf("%+v", std)
	}
	if _, again := sbom(t); !bytes.Equal(text, again) {
		t.Error("made again, it is another one")
	}
}

func TestSBOMHasTheModules(t *testing.T) {
	d, _ := sbom(t) // a test program is not told its modules
	program := d.Packages[0].ID
	info := &debug.BuildInfo{GoVersion: "go1.26.8", Deps: []*debug.Module{
		{Path: "example.org/a/v2", Version: "v2.1.0+incompatible", Sum: "h1:x="},
		{Path: "example.org/b", Version: "v0.1.0", Replace: &debug.Module{Path: "example.org/fork", Version: "v0.2.0", Sum: "h1:y="}},
	}}
	d.addModules(info, program)
	d.addModules(info, program) // of a second program: each is there once
	check(t, d)
	for name, want := range map[string]string{
		"example.org/a/v2": "pkg:golang/example.org/a/v2@v2.1.0%2Bincompatible", "example.org/fork": "pkg:golang/example.org/fork@v0.2.0",
	} {
		p := d.find(t, name)
		if p.Refs[0].Locator != want || !strings.HasPrefix(p.SourceInfo, "go.sum h1:") || !slices.Contains(d.Relationships, relationship{program, "DEPENDS_ON", p.ID}) {
			t.Errorf("%+v, want %s", p, want)
		}
	}
}

func TestSBOMOfAnImage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "package-lock.json")
	if err := os.WriteFile(file, []byte(lock), 0o600); err != nil {
		t.Fatal(err)
	}
	d, _ := sbom(t, "-name=ghcr.io/fanwire/fanwire", "-npm="+file)
	check(t, d)
	root := d.Packages[0]
	if root.Name != "ghcr.io/fanwire/fanwire" || root.Purpose != "CONTAINER" || d.Name != root.Name+" v1.2.3" {
		t.Errorf("%+v", root)
	}
	for name, want := range map[string]string{"@a/b": "pkg:npm/%40a/b@1.0.0", "c": "pkg:npm/c@2.0.0"} {
		p := d.find(t, name)
		if p.Refs[0].Locator != want || !slices.Contains(d.Relationships, relationship{root.ID, "CONTAINS", p.ID}) {
			t.Errorf("%+v, want %s in the image", p, want)
		}
	}
	// The checksum is npm's, in the other writing: this one is of the empty file.
	if got := d.find(t, "@a/b").Checksums[0].Value; !strings.HasPrefix(got, "cf83e1357eefb8bd") {
		t.Error(got)
	}
	if slices.ContainsFunc(d.Packages, func(p *part) bool { return p.Name == "tool" }) {
		t.Error("a package for development is in the image")
	}

	d, _ = sbom(t, "-name=x", "-npm="+file, "-only=c,d")
	if d.find(t, "c"); slices.ContainsFunc(d.Packages, func(p *part) bool { return p.Name == "@a/b" }) {
		t.Error("a package that was not named is in the image")
	}
}

func TestSBOMRefuses(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte(`{"packages": {"node_modules/a": {"integrity": "md5-x"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	self, _ := os.Executable()
	for want, args := range map[string][]string{
		"usage":           {"sbom", "-version=1.2.3", self},
		"-created":        {"sbom", "-version=v1.2.3", "-created=today", self},
		text:              {"sbom", "-version=v1.2.3", text},
		"is not SHA-512":  {"sbom", "-version=v1.2.3", "-npm=" + text, self},
		"/does/not/exist": {"sbom", "-version=v1.2.3", "/does/not/exist"},
	} {
		if err := run(args, new(bytes.Buffer)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", args, err, want)
		}
	}
}
