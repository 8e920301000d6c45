package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// What runs for a release is fixed to the byte, may do no more than it must, and ends.
// That the workflows are right otherwise is what actionlint tells, in .ci/run.
func TestWorkflows(t *testing.T) {
	files, err := filepath.Glob("../../.github/workflows/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		checkWorkflow(t, filepath.Base(file), text)
	}
}

var pinned = regexp.MustCompile(`^\s*(- )?uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`)

func checkWorkflow(t *testing.T, name string, text []byte) {
	t.Helper()
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		if strings.Contains(line, "uses:") && !strings.Contains(line, "uses: ./") && !pinned.MatchString(line) {
			t.Errorf("%s: not pinned by a commit with its version behind it: %s", name, line)
		}
	}
	var w struct {
		Permissions map[string]string
		Concurrency any
		Jobs        map[string]struct {
			Uses        string
			Permissions map[string]string
			Timeout     int `yaml:"timeout-minutes"`
			Steps       []struct{ Run string }
		}
	}
	if err := yaml.Unmarshal(text, &w); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if w.Permissions == nil || len(w.Permissions) > 1 || len(w.Permissions) == 1 && w.Permissions["contents"] != "read" {
		t.Errorf("%s: the permissions of all jobs must be none or contents: read, and are %v", name, w.Permissions)
	}
	if w.Concurrency == nil && !strings.Contains(string(text), "workflow_call") {
		t.Errorf("%s: no concurrency", name)
	}
	for id, job := range w.Jobs {
		if job.Uses == "" && job.Timeout == 0 {
			t.Errorf("%s: job %s has no timeout", name, id)
		}
		for _, step := range job.Steps {
			if strings.Contains(step.Run, "${{") {
				t.Errorf("%s: job %s puts an expression into a script, where its text becomes code; use env", name, id)
			}
		}
	}
}
