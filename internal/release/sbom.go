package main

import (
	"crypto/sha256"
	"crypto/sha512"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// subject is what a bill of materials is about.
type subject struct {
	Name     string // of what holds the programs; empty if they stand alone
	Version  string
	Programs []string // files, built by Go
	Lock     string   // package-lock.json of what lies beside them; may be empty
	Only     []string // the names of these packages, if not all are there
	Created  time.Time
}

// The parts of SPDX 2.3 that are needed here. What is not known is said to be not
// known: NOASSERTION.
type (
	document struct {
		SPDXVersion   string         `json:"spdxVersion"`
		DataLicense   string         `json:"dataLicense"`
		ID            string         `json:"SPDXID"`
		Name          string         `json:"name"`
		Namespace     string         `json:"documentNamespace"`
		Creation      creation       `json:"creationInfo"`
		Packages      []*part        `json:"packages"`
		Relationships []relationship `json:"relationships"`
	}
	creation struct {
		Created  string   `json:"created"`
		Creators []string `json:"creators"`
	}
	part struct {
		ID               string     `json:"SPDXID"`
		Name             string     `json:"name"`
		Version          string     `json:"versionInfo,omitempty"`
		FileName         string     `json:"packageFileName,omitempty"`
		Purpose          string     `json:"primaryPackagePurpose,omitempty"`
		DownloadLocation string     `json:"downloadLocation"`
		FilesAnalyzed    bool       `json:"filesAnalyzed"`
		LicenseConcluded string     `json:"licenseConcluded"`
		LicenseDeclared  string     `json:"licenseDeclared"`
		Copyright        string     `json:"copyrightText"`
		SourceInfo       string     `json:"sourceInfo,omitempty"`
		Checksums        []checksum `json:"checksums,omitempty"`
		Refs             []ref      `json:"externalRefs,omitempty"`
	}
	checksum struct {
		Algorithm string `json:"algorithm"`
		Value     string `json:"checksumValue"`
	}
	ref struct {
		Category string `json:"referenceCategory"`
		Type     string `json:"referenceType"`
		Locator  string `json:"referenceLocator"`
	}
	relationship struct {
		From string `json:"spdxElementId"`
		Type string `json:"relationshipType"`
		To   string `json:"relatedSpdxElement"`
	}
)

const (
	unknown    = "NOASSERTION"
	documentID = "SPDXRef-DOCUMENT"
)

// write prints the bill of materials. Equal input and time make equal bytes.
func (s *subject) write(out io.Writer) error {
	d := &document{
		SPDXVersion: "SPDX-2.3", DataLicense: "CC0-1.0", ID: documentID,
		Creation: creation{s.Created.UTC().Format(time.RFC3339), []string{"Organization: Fanwire", "Tool: fanwire-internal/release"}},
	}
	root := documentID
	if s.Name != "" {
		d.Name = s.Name
		root = d.add(&part{
			ID: "SPDXRef-Root", Name: s.Name, Version: s.Version, Purpose: "CONTAINER", LicenseDeclared: "MIT",
		}, documentID, "DESCRIBES")
	}
	for _, file := range s.Programs {
		if err := d.addProgram(file, s.Version, root); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	if s.Lock != "" {
		if err := d.addLock(s.Lock, s.Only, root); err != nil {
			return fmt.Errorf("%s: %w", s.Lock, err)
		}
	}
	if err := d.name(s.Version); err != nil {
		return err
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(d)
}

// name gives the document its name, and the namespace that no other document has: it
// holds a hash of the content.
func (d *document) name(version string) error {
	if d.Name == "" {
		d.Name = d.Packages[0].FileName
	}
	d.Name += " " + version
	content, err := json.Marshal(d)
	if err != nil {
		return err
	}
	hash := sha256.Sum256(content)
	d.Namespace = repository + "/sbom/" + url.PathEscape(d.Name) + "/" + hex.EncodeToString(hash[:16])
	return nil
}

var notInID = regexp.MustCompile(`[^0-9A-Za-z.-]+`)

// add adds p, unless it is there, and how it belongs to another element.
func (d *document) add(p *part, from, kind string) (id string) {
	p.ID = notInID.ReplaceAllString(p.ID, "-")
	if !slices.ContainsFunc(d.Packages, func(other *part) bool { return other.ID == p.ID }) {
		p.DownloadLocation = orUnknown(p.DownloadLocation)
		p.LicenseConcluded, p.Copyright = unknown, unknown
		p.LicenseDeclared = orUnknown(p.LicenseDeclared)
		d.Packages = append(d.Packages, p)
	}
	if from == documentID {
		kind = "DESCRIBES"
	}
	d.Relationships = append(d.Relationships, relationship{from, kind, p.ID})
	return p.ID
}

func orUnknown(s string) string {
	if s == "" {
		return unknown
	}
	return s
}

// addProgram adds a program, the modules that are in it, and the standard library.
func (d *document) addProgram(file, version, root string) error {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	hash := sha256.Sum256(content)
	name := filepath.Base(file)
	source := ""
	if revision := setting(info, "vcs.revision"); revision != "" {
		source = "git+" + repository + "@" + revision
	}
	id := d.add(&part{
		ID: "SPDXRef-Program-" + name, Name: name, Version: version, FileName: name, Purpose: "APPLICATION",
		DownloadLocation: source, LicenseDeclared: "MIT",
		SourceInfo: fmt.Sprintf("package %s for %s/%s", info.Path, setting(info, "GOOS"), setting(info, "GOARCH")),
		Checksums:  []checksum{{"SHA256", hex.EncodeToString(hash[:])}},
		Refs:       purl("golang", info.Main.Path, version),
	}, root, "CONTAINS")
	d.addModules(info, id)
	return nil
}

// addModules adds what the program with that id is made of.
func (d *document) addModules(info *debug.BuildInfo, id string) {
	goVersion := strings.TrimPrefix(info.GoVersion, "go")
	d.add(&part{
		ID: "SPDXRef-Go-stdlib-" + goVersion, Name: "stdlib", Version: goVersion, Purpose: "LIBRARY",
		LicenseDeclared: "BSD-3-Clause", Refs: purl("golang", "stdlib", goVersion),
	}, id, "DEPENDS_ON")
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		d.add(&part{
			ID: "SPDXRef-Go-" + m.Path + "-" + m.Version, Name: m.Path, Version: m.Version, Purpose: "LIBRARY",
			SourceInfo: "go.sum " + m.Sum, Refs: purl("golang", m.Path, m.Version),
		}, id, "DEPENDS_ON")
	}
}

func setting(info *debug.BuildInfo, key string) string {
	for _, s := range info.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}

// addLock adds packages of a lock file of npm, version 2 or 3: those that are named, or
// all but those for development.
func (d *document) addLock(file string, only []string, root string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var lock struct {
		Packages map[string]struct {
			Name, Version, License, Integrity string
			Dev                               bool
		}
	}
	if err := json.Unmarshal(text, &lock); err != nil {
		return err
	}
	const folder = "node_modules/"
	for _, path := range slices.Sorted(maps.Keys(lock.Packages)) {
		p := lock.Packages[path]
		at := strings.LastIndex(path, folder)
		if at < 0 || p.Dev {
			continue // the root itself
		}
		if p.Name == "" {
			p.Name = path[at+len(folder):]
		}
		if len(only) > 0 && !slices.Contains(only, p.Name) {
			continue
		}
		sums, err := integrity(p.Integrity)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		d.add(&part{
			ID: "SPDXRef-npm-" + p.Name + "-" + p.Version, Name: p.Name, Version: p.Version, Purpose: "LIBRARY",
			LicenseDeclared: p.License, Checksums: sums, Refs: purl("npm", p.Name, p.Version),
		}, root, "CONTAINS")
	}
	return nil
}

// integrity turns npm's sha512-BASE64 into a checksum.
func integrity(text string) ([]checksum, error) {
	if text == "" {
		return nil, nil
	}
	encoded, ok := strings.CutPrefix(text, "sha512-")
	sum, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(sum) != sha512.Size {
		return nil, fmt.Errorf("integrity %q is not SHA-512", text)
	}
	return []checksum{{"SHA512", hex.EncodeToString(sum)}}, nil
}

// purl is the package URL by which databases of vulnerabilities know a package.
func purl(kind, name, version string) []ref {
	name = strings.ReplaceAll(name, "@", "%40")
	version = strings.ReplaceAll(version, "+", "%2B")
	return []ref{{"PACKAGE-MANAGER", "purl", "pkg:" + kind + "/" + name + "@" + version}}
}
