package live

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// Mode says how a run is shown.
type Mode string

// The modes of --live.
const (
	Auto  Mode = "auto"  // TUI in a terminal, Plain elsewhere
	TUI   Mode = "tui"   // a view that redraws itself
	Plain Mode = "plain" // a line now and then
	Off   Mode = "off"   // nothing
)

// plainEvery is how often Plain writes a line while nothing special happens.
const plainEvery = 5 * time.Second

// View shows snapshots. Its methods are safe for concurrent use; a slow terminal makes
// Show wait.
type View struct {
	mode   Mode
	out    io.Writer
	size   func() (width, height int)
	colors bool

	mu     sync.Mutex // guards the fields below, held during writes: they must not mix
	last   *Snapshot
	drawn  []int // widths of the rows on the screen
	phase  string
	next   time.Duration // when Plain writes again
	closed bool
}

// New returns a view on a file. Colors are left out where NO_COLOR is set.
func New(out *os.File, mode Mode) (*View, error) {
	fd := int(out.Fd())
	if mode == Auto {
		mode = Plain
		if term.IsTerminal(fd) && os.Getenv("TERM") != "dumb" {
			mode = TUI
		}
	}
	switch mode {
	case TUI, Plain, Off:
	default:
		return nil, fmt.Errorf("--live is %s, %s, %s or %s, and not %q", Auto, TUI, Plain, Off, string(mode))
	}
	size := func() (int, int) {
		width, height, err := term.GetSize(fd)
		if err != nil || width <= 0 {
			return 100, 40
		}
		return width, height
	}
	_, plainText := os.LookupEnv("NO_COLOR")
	return &View{mode: mode, out: out, size: size, colors: mode == TUI && !plainText}, nil
}

// Mode is what Auto has become.
func (v *View) Mode() Mode { return v.mode }

// The terminal: nothing but cursor movements, so that the scroll-back stays as it was
// and Ctrl-C does what it always does.
const (
	hideCursor = "\x1b[?25l"
	showCursor = "\x1b[?25h"
	syncBegin  = "\x1b[?2026h" // terminals that know it show a frame at once
	syncEnd    = "\x1b[?2026l"
	clearRight = "\x1b[K"
	clearBelow = "\x1b[J"
)

// Show shows a snapshot.
func (v *View) Show(s Snapshot) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return
	}
	switch v.mode {
	case TUI:
		v.last = &s
		v.drawLocked("")
	case Plain:
		if s.Phase != v.phase || s.Elapsed >= v.next {
			v.phase, v.next = s.Phase, s.Elapsed.Truncate(plainEvery)+plainEvery
			fmt.Fprintln(v.out, oneLine(&s))
		}
	}
}

// Println writes a line above the view.
func (v *View) Println(text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.mode == TUI && !v.closed {
		v.drawLocked(clean(text))
		return
	}
	fmt.Fprintln(v.out, text)
}

// Close leaves the last frame on the screen and gives the cursor back. Nothing is shown
// afterwards. It may be called again.
func (v *View) Close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return
	}
	v.closed = true
	if v.mode == TUI && v.drawn != nil {
		_, _ = io.WriteString(v.out, showCursor+reset)
	}
}

// drawLocked writes a frame over the one before, as one write.
func (v *View) drawLocked(above string) {
	width, height := v.size()
	var b strings.Builder
	b.WriteString(syncBegin + hideCursor)
	if n := v.heightLocked(width); n > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", n)
	}
	b.WriteString("\r")
	if above != "" {
		b.WriteString(above + clearRight + "\n")
	}
	v.drawn = []int{}
	if v.last != nil {
		for _, r := range frame(v.last, width) {
			if len(v.drawn) == max(height-1, 1) { // the row of the cursor is below
				break
			}
			v.drawn = append(v.drawn, min(r.width(), width))
			b.WriteString(r.render(width, v.colors) + clearRight + "\n")
		}
	}
	b.WriteString(clearBelow + syncEnd)
	_, _ = io.WriteString(v.out, b.String())
}

// heightLocked is how many rows the last frame takes on a screen that may have become
// narrower: terminals wrap what no longer fits.
func (v *View) heightLocked(width int) int {
	n := 0
	for _, w := range v.drawn {
		n += max((w+width-1)/width, 1)
	}
	return n
}
