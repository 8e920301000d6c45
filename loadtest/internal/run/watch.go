package run

import (
	"time"

	"github.com/fanwire/fanwire/loadtest/internal/result"
	watching "github.com/fanwire/fanwire/loadtest/internal/watch"
)

// watch observes this process. What it thinks of the figures is said at the end, when
// the latencies are known (result.Document.Judge).
type watch struct{ self *watching.Self }

func newWatch() *watch { return &watch{watching.NewSelf()} }

func (w *watch) begin()                                   { w.self.Begin() }
func (w *watch) end()                                     { w.self.End() }
func (w *watch) stop()                                    { w.self.Stop() }
func (w *watch) second(d time.Duration) float64           { return w.self.Second(d) }
func (w *watch) cores() int                               { return watching.Cores() }
func (w *watch) lagP99() time.Duration                    { return w.self.LagP99() }
func (w *watch) gcPauseMax() time.Duration                { return w.self.GCPauseMax() }
func (w *watch) generator(counted int64) result.Generator { return w.self.Generator("", counted) }
