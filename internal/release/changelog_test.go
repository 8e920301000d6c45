package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const good = `# Changelog

Words.

## [Unreleased]

### Added

- Something.

## [1.10.0] - 2026-12-24

### Fixed

- A thing ([how](docs/how.md#so), [where](https://example.org/)).
  Second line.

## [1.10.0-rc.2] - 2026-12-01 [YANKED]

### Changed

- All.

## [1.9.3] - 2026-12-25

### Security

- Patched later than what stands above.

[Unreleased]: https://github.com/fanwire/fanwire/compare/v1.10.0...HEAD
[1.10.0]: https://github.com/fanwire/fanwire/compare/v1.10.0-rc.2...v1.10.0
[1.10.0-rc.2]: https://github.com/fanwire/fanwire/compare/v1.9.3...v1.10.0-rc.2
[1.9.3]: https://github.com/fanwire/fanwire/releases/tag/v1.9.3
`

// CHANGELOG.md has the form of Keep a Changelog: the release workflow cuts it.
func TestChangelogOfTheRepository(t *testing.T) {
	text, err := os.ReadFile("../../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	if _, problems := parseChangelog(string(text)); len(problems) > 0 {
		t.Error(errors.Join(problems...))
	}
}

func TestChangelogForm(t *testing.T) {
	if _, problems := parseChangelog(good); len(problems) > 0 {
		t.Fatal(errors.Join(problems...))
	}
	tests := []struct{ name, old, replacement, want string }{
		{"title", "# Changelog", "# Changes", "line 1: must be"},
		{"no Unreleased", "## [Unreleased]\n", "## [2.0.0] - 2027-01-01\n", "the first section must be [Unreleased]"},
		{"Unreleased twice", "## [1.9.3] - 2026-12-25", "## [Unreleased]", "stands twice"},
		{"no date", " - 2026-12-24", "", "1.10.0 has no date"},
		{"no such day", "2026-12-24", "2026-02-30", "1.10.0 has no date"},
		{"other form of date", "2026-12-24", "24.12.2026", "is not of the form"},
		{"date of what is to come", "[Unreleased]\n", "[Unreleased] - 2026-12-24\n", "[Unreleased] has a date"},
		{"no brackets", "## [1.10.0]", "## 1.10.0", "is not of the form"},
		{"tag for a version", "## [1.10.0] ", "## [v1.10.0] ", "not a semantic version"},
		{"order", "## [1.9.3]", "## [1.11.0]", "[1.10.0-rc.2] stands above [1.11.0]"},
		{"candidate above its release", "## [1.9.3]", "## [1.10.0]", "[1.10.0-rc.2] stands above [1.10.0]"},
		{"unknown kind", "### Fixed", "### Improved", `"Improved" is unknown`},
		{"kind twice", "- All.", "- All.\n\n### Changed\n\n- More.", `"Changed" is unknown or stands twice`},
		{"kind without entries", "- Something.", "", "[Unreleased]: Added is empty"},
		{"entry without a kind", "### Changed\n", "", "[1.10.0-rc.2]: entries belong under"},
		{"link missing", "[1.10.0-rc.2]: ", "[1.10.0-rc.3]: ", "the link of [1.10.0-rc.2]"},
		{"link without section", "[1.9.3]: ", "[1.9.2]: https://example.org\n[1.9.3]: ", "[1.9.2] is linked"},
		{"link to a wrong range", "v1.10.0...HEAD", "v1.9.3...HEAD", "the link of [Unreleased]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, problems := parseChangelog(strings.Replace(good, tt.old, tt.replacement, 1))
			if err := errors.Join(problems...); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestNotes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "CHANGELOG.md")
	if err := os.WriteFile(file, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run([]string{"notes", "v1.10.0", file}, &out); err != nil {
		t.Fatal(err)
	}
	want := `### Fixed

- A thing ([how](https://github.com/fanwire/fanwire/blob/v1.10.0/docs/how.md#so), [where](https://example.org/)).
  Second line.

[All changes](https://github.com/fanwire/fanwire/compare/v1.10.0-rc.2...v1.10.0)
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	if err := run([]string{"notes", "v1.10.1", file}, &out); err == nil || !strings.Contains(err.Error(), "no section for v1.10.1") {
		t.Error(err)
	}
	if err := run([]string{"notes"}, &out); err == nil || !strings.Contains(err.Error(), "usage") {
		t.Error(err)
	}
}
