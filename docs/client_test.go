package docs_test

import (
	"os"
	"strings"
	"testing"
)

// The code of docs/client.md stands in client_example_test.go, where it is
// compiled and run.
func TestClientGuideIsTheExample(t *testing.T) {
	page, err := os.ReadFile("client.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("client_example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	lines := func(text string) string { // without indentation and empty lines
		var all []string
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" {
				all = append(all, line)
			}
		}
		return "\n" + strings.Join(all, "\n") + "\n"
	}
	compiled := lines(string(example))
	blocks := strings.Split(string(page), "```go\n")[1:]
	for _, b := range blocks {
		code, _, _ := strings.Cut(b, "```")
		if !strings.Contains(compiled, lines(code)) {
			t.Errorf("client_example_test.go has not:\n%s", code)
		}
	}
	if len(blocks) < 10 {
		t.Errorf("%d blocks of code: does the pattern still fit?", len(blocks))
	}
}
