package identity

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The programs of docs/auth.md make tokens that are accepted.
func TestDocsMakeTokens(t *testing.T) {
	page, err := os.ReadFile("../../../docs/auth.md")
	if err != nil {
		t.Fatal(err)
	}
	v := newVerifier(t, secretConfig(), Options{Now: time.Now})
	for _, c := range []struct{ fence, program, file string }{
		{"```js node\n", "node", "token.mjs"},
		{"```python\n", "python3", "token.py"},
		{"```php\n", "php", "token.php"},
	} {
		t.Run(c.program, func(t *testing.T) {
			_, code, ok := strings.Cut(string(page), c.fence)
			code, _, end := strings.Cut(code, "\n```\n")
			if !ok || !end {
				t.Fatal("the page has no such program")
			}
			if _, err := exec.LookPath(c.program); err != nil {
				if os.Getenv("FANWIRE_REQUIRE_ALL") == "1" {
					t.Fatal(err)
				}
				t.Skipf("SKIPPED: %v", err)
			}
			path := filepath.Join(t.TempDir(), c.file)
			if err := os.WriteFile(path, []byte(code), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), c.program, path)
			cmd.Env = append(os.Environ(), "FANWIRE_AUTH_JWT_SECRET="+testSecret)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			g, err := v.Verify(t.Context(), strings.TrimSpace(string(out)))
			if err != nil || g.User != "ann" || len(g.Rooms) != 1 || g.Rooms[0] != "news" {
				t.Errorf("%s: %+v, %v", out, g, err)
			}
		})
	}
}
