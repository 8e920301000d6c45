package run

import (
	"runtime"
	"time"

	"github.com/fanwire/fanwire/loadtest/internal/result"
)

// watch observes this process.
type watch struct{}

func newWatch() *watch { return &watch{} }

func (w *watch) begin()                       {}
func (w *watch) end()                         {}
func (w *watch) second(time.Duration) float64 { return 0 }
func (w *watch) cores() int                   { return runtime.GOMAXPROCS(0) }
func (w *watch) lagP99() time.Duration        { return 0 }
func (w *watch) gcPauseMax() time.Duration    { return 0 }
func (w *watch) doubts() []string             { return nil }
func (w *watch) generator(int64) result.Generator {
	return result.Generator{Cores: runtime.GOMAXPROCS(0), System: runtime.GOOS + "/" + runtime.GOARCH}
}
