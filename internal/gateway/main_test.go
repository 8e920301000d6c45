package gateway

import (
	"log/slog"
	"testing"

	"github.com/fanwire/fanwire/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
