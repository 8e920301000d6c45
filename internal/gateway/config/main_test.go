package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fanwire/fanwire/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// write makes a file that only we can read.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// load loads a file with this text.
func load(t *testing.T, yaml string) (*Config, error) {
	t.Helper()
	return Load(Sources{File: write(t, "gateway.yaml", yaml)})
}

// mustLoad is load for what is valid.
func mustLoad(t *testing.T, s Sources) *Config {
	t.Helper()
	c, err := Load(s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// problems returns those of an error, one a line, without the folder of the file.
func problems(t *testing.T, err error) string {
	t.Helper()
	var list Problems
	if err != nil && !errors.As(err, &list) {
		t.Fatalf("%T: %v", err, err)
	}
	var b strings.Builder
	for _, p := range list {
		if p.Source != "" && strings.ContainsRune(p.Source, filepath.Separator) {
			p.Source = filepath.Base(p.Source)
		}
		b.WriteString(p.String() + "\n")
	}
	return b.String()
}

// secretText is in no output.
const secretText = "hunter2-hunter2-hunter2-hunter2-hunter2"
