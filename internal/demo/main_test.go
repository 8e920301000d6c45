package demo

import (
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds what must happen; no test waits for it when all is well.
const patience = time.Minute

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
