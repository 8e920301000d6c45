package listener

import (
	"log/slog"
	"os"
	"testing"

	"github.com/fanwire/fanwire/internal/leaktest"
)

// childEnv tells this binary to be the process that a test started.
const childEnv = "FANWIRE_TEST_LISTENER_CHILD"

var child func() // nil where files_test.go is not built

func TestMain(m *testing.M) {
	if child != nil && os.Getenv(childEnv) != "" {
		child()
		return
	}
	leaktest.Main(m)
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
