package redis

import (
	"os"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/adapter/redis/redistest"
)

// What a node does with the records of sessions as time goes by, and after an outage,
// needs the rights that docs/operations.md lists for it, and no others. What else a
// gateway needs is tested with the gateway.
func TestSessionsACL(t *testing.T) {
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rights, ok := strings.Cut(string(page), "\n# recovery, all: ")
	lines := strings.SplitN(rights, "\n", 3)
	if !ok || len(lines) < 3 {
		t.Fatal("docs/operations.md does not list them")
	}
	s := redistest.Start(t)
	admin := s.Client(t)
	args := []any{"ACL", "SETUSER", "node", "reset", "on", ">secret", "+set", "+get", "+del", "~fanwire:session:*"}
	for _, rule := range strings.Fields(lines[1]) {
		args = append(args, rule)
	}
	if err := admin.Do(t.Context(), args...).Err(); err != nil {
		t.Fatal(err)
	}
	client := goredis.NewClient(&goredis.Options{Addr: s.Addr, Username: "node", Password: "secret", DisableIdentity: true})
	t.Cleanup(func() { _ = client.Close() })
	records := newSessions(client, ownSessions)
	r := &adapter.Session{PID: "p", ID: "s"}
	if err := records.save(t.Context(), r, time.Minute, true); err != nil {
		t.Fatal(err)
	}
	records.suspect()
	if err := records.save(t.Context(), r, time.Minute, false); err != nil {
		t.Error(err)
	}
	if err := records.touch(t.Context(), []string{"p"}, time.Minute); err != nil {
		t.Error(err)
	}
	if err := records.drop(t.Context(), r); err != nil {
		t.Error(err)
	}
	other := &adapter.Session{PID: "p", ID: "s", Owner: "another"}
	if err := records.save(t.Context(), other, time.Minute, true); err != nil {
		t.Fatal(err)
	}
	if err := records.drop(t.Context(), r); err != nil { // stays, for it is another's
		t.Error(err)
	}
	records.wait()
	if refused := admin.Do(t.Context(), "ACL", "LOG").Val(); len(refused.([]any)) > 0 {
		t.Errorf("refused: %v", refused)
	}
	used := admin.Info(t.Context(), "commandstats").Val()
	for _, rule := range strings.Fields(lines[1]) {
		if !strings.Contains(used, "cmdstat_"+strings.TrimPrefix(rule, "+")+":") {
			t.Errorf("%s is listed and not needed", rule)
		}
	}
}
