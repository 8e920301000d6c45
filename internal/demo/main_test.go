package demo

import (
	"log/slog"
	"testing"
	"time"

	"github.com/fanwire/fanwire/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// patience bounds what must happen; no test waits for it when all is well.
const patience = time.Minute

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
