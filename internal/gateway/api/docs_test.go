package api

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fanwire/fanwire/client"
)

// runners are the languages of docs/api-http.md: the program and the name of a file.
var runners = map[string][]string{
	"sh":     {"sh", "-eu", "block.sh"},
	"python": {"python3", "block.py"},
	"php":    {"php", "block.php"},
	"js":     {"node", "block.mjs"},
}

// The examples of the documentation work.
func TestDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../../docs/api-http.md")
	if err != nil {
		t.Fatal(err)
	}
	c := newCluster(t, 2)
	news := c.nodes[1].connect(t, "/", auth{"rooms": []string{"news"}}, func(s *client.Socket) {
		client.Handle(s, "ready?", func(context.Context, client.None) (string, error) { return "yes", nil })
	})
	chat := c.nodes[1].connect(t, "/chat", nil)
	var want []string
	blocks := regexp.MustCompile("(?s)```(sh|python|php|js)\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	for i, b := range blocks {
		language, code := b[1], b[2]
		run := runners[language]
		if !has(t, run[0]) || language == "sh" && !has(t, "curl") {
			t.Logf("block %d is not run", i)
			continue
		}
		passer := c.nodes[1].connect(t, "/", nil)
		runBlock(t, run, code, c.nodes[0].http.URL, passer.ID())
		for _, m := range regexp.MustCompile(`Hello from ([\w.]+)`).FindAllStringSubmatch(code, -1) {
			want = append(want, `article [{"title":"Hello from `+m[1]+`"}]`)
		}
		for event, args := range map[string]string{`"ready?"`: "ready? []", `"once"`: "once []"} {
			if strings.Contains(code, event) {
				want = append(want, args)
			}
		}
	}
	if len(blocks) < 10 || len(want) < 3 {
		t.Fatalf("%d blocks, %d events", len(blocks), len(want))
	}
	news.hears(t, want...)
	chat.hears(t, `picture [{"png":{"$binary":"iVBORw0KGgo="}}]`)
}

// has tells whether a program is there. In CI it must be.
func has(t *testing.T, program string) bool {
	t.Helper()
	_, err := exec.LookPath(program)
	if err != nil && os.Getenv("FANWIRE_REQUIRE_ALL") != "" {
		t.Fatal(err)
	}
	return err == nil
}

// runBlock runs a program that talks to the API.
func runBlock(t *testing.T, run []string, code, api, socket string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, run[len(run)-1]), []byte(code), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, run[0], run[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "FANWIRE_API="+api, "FANWIRE_KEY="+allKey, "SOCKET="+socket, "no_proxy=*", "NO_PROXY=*")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s\n%s", err, code, out)
	}
}
