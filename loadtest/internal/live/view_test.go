package live

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/fanwire/fanwire/loadtest/internal/result"
)

var golden = flag.Bool("golden", false, "write the golden files")

func compare(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *golden {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != got {
		t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, want)
	}
}

const msec = time.Millisecond

func fanout() Snapshot {
	s := Snapshot{
		Scenario: "fanout  10,000 clients · 100 rooms x 100 · 2,000 msg/s · websocket 90% polling 10% · 3 nodes",
		Phase:    "fanout", Elapsed: 102 * time.Second, Total: 2 * time.Minute,
		Wanted: 10000, Connected: 10000, ByNode: map[string]int64{"n1": 3334, "n2": 3331, "n3": 3335},
		Sent: 204000, SentRate: 2000, Lateness: 1200 * time.Microsecond,
		Delivered: 20400000, DeliveredRate: 200012, Expected: 20400123,
		Latencies: map[string]Quantiles{
			result.Delivery:  {1900 * time.Microsecond, 4400 * time.Microsecond, 11800 * time.Microsecond, 24100 * time.Microsecond, 61 * msec},
			result.CrossNode: {2 * msec, 4 * msec, 12900 * time.Microsecond, 25 * msec, 61 * msec},
			result.SameNode:  {1 * msec, 4 * msec, 9700 * time.Microsecond, 20 * msec, 50 * msec},
			result.Connect:   {3 * msec, 9 * msec, 120 * msec, 200 * msec, 1234 * msec},
		},
		CPU: 0.61, Cores: 2, LagP99: 400 * time.Microsecond, GCPauseMax: 900 * time.Microsecond,
		Thresholds: []Rule{{"delivery.ratio==1", true}, {"latency.p99<50ms", true}},
	}
	for i := range 60 {
		s.History = append(s.History, Past{P99: time.Duration(2+i%7) * msec, Delivered: 200000})
	}
	s.History[40].P99 = 15 * msec
	return s
}

func trouble() Snapshot {
	s := fanout()
	s.Connected, s.Reconnects, s.Errors = 9000, 12, 3
	s.Lost, s.Duplicated, s.OutOfOrder = 1, 2, 3
	s.ByNode = map[string]int64{}
	for i := range 30 {
		s.ByNode["node-"+string(rune('a'+i%26))+strings.Repeat("x", i/26)] = 300
	}
	s.ByNode["\x1b[2Jevil"] = 1
	s.Invalid = []string{"the generator used 1.97 of 2 cores"}
	s.Thresholds[1].OK = false
	return s
}

func echo() Snapshot {
	return Snapshot{
		Scenario: "echo  100 clients", Phase: "warmup", Elapsed: 3 * time.Second, Total: time.Hour + 5*time.Second,
		Wanted: 100, Connected: 100, Sent: 3000, SentRate: 1000, Answered: 2999, AnsweredRate: 999.6, Cores: 8, CPU: 0.05,
		Latencies: map[string]Quantiles{result.Echo: {300 * time.Microsecond, 400 * time.Microsecond, 900 * time.Microsecond, msec, 2 * msec}},
	}
}

func text(s Snapshot, width int, colors bool) string {
	var b strings.Builder
	for _, r := range frame(&s, width) {
		b.WriteString(r.render(width, colors) + "\n")
	}
	return b.String()
}

func TestFrames(t *testing.T) {
	compare(t, "fanout.txt", text(fanout(), 140, false))
	compare(t, "trouble.txt", text(trouble(), 120, false))
	compare(t, "narrow.txt", text(trouble(), 60, false))
	compare(t, "echo.txt", text(echo(), 100, false))
	compare(t, "color.txt", text(trouble(), 120, true))
	for _, s := range []Snapshot{fanout(), trouble(), echo(), {}} {
		for width := 1; width < 200; width++ {
			for line := range strings.Lines(text(s, width, false)) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > width {
					t.Fatalf("%d columns on %d: %s", n, width, line)
				}
			}
		}
	}
}

// screen is a terminal that knows what the view uses. It fails on anything else.
type screen struct {
	t     *testing.T
	width int
	lines []string
	at    int
	hid   bool
}

func (s *screen) Write(p []byte) (int, error) {
	text := string(p)
	for text != "" {
		cut := 1
		switch {
		case strings.HasPrefix(text, "\n"):
			s.at++
		case strings.HasPrefix(text, "\r"):
		case strings.HasPrefix(text, hideCursor):
			s.hid, cut = true, len(hideCursor)
		case strings.HasPrefix(text, showCursor):
			s.hid, cut = false, len(showCursor)
		case strings.HasPrefix(text, syncBegin), strings.HasPrefix(text, syncEnd):
			cut = len(syncBegin)
		case strings.HasPrefix(text, reset):
			cut = len(reset)
		case strings.HasPrefix(text, clearRight):
			cut = len(clearRight)
		case strings.HasPrefix(text, clearBelow):
			s.lines, cut = s.lines[:min(s.at, len(s.lines))], len(clearBelow)
		case strings.HasPrefix(text, "\x1b["):
			end := strings.IndexByte(text, 'A')
			n := 0
			for _, c := range text[2:end] {
				n = n*10 + int(c-'0')
			}
			s.at, cut = s.at-n, end+1
			if s.at < 0 {
				s.t.Fatal("above the screen")
			}
		default:
			cut = strings.IndexAny(text, "\n\r\x1b")
			for len(s.lines) <= s.at {
				s.lines = append(s.lines, "")
			}
			s.lines[s.at] = text[:cut]
		}
		text = text[cut:]
	}
	return len(p), nil
}

func TestRedraw(t *testing.T) {
	out := &screen{t: t, width: 120}
	height := 40
	v := &View{mode: TUI, out: out, size: func() (int, int) { return out.width, height }}
	v.Println("before")
	v.Show(trouble())
	if want := "before\n" + text(trouble(), 120, false); strings.Join(out.lines, "\n")+"\n" != want || !out.hid {
		t.Errorf("%s\nwant\n%s", strings.Join(out.lines, "\n"), want)
	}
	v.Show(echo()) // shorter: nothing of the old one is left
	v.Println("a word \x1b[2J")
	if want := "before\na word ?[2J\n" + text(echo(), 120, false); strings.Join(out.lines, "\n")+"\n" != want {
		t.Errorf("%s\nwant\n%s", strings.Join(out.lines, "\n"), want)
	}
	height = 4
	v.Show(fanout())
	if len(out.lines) != 2+3 {
		t.Errorf("%d lines on a screen of 4", len(out.lines)-2)
	}
	v.Close()
	v.Close()
	v.Show(echo())
	if out.hid || len(out.lines) != 5 {
		t.Error("the cursor is hidden, or something is shown after the end")
	}
}

// A terminal that has become narrower has wrapped the rows: the next frame begins above
// all of them.
func TestNarrower(t *testing.T) {
	var out bytes.Buffer
	width := 100
	v := &View{mode: TUI, out: &out, size: func() (int, int) { return width, 40 }}
	v.Show(echo())
	rows := 0
	for _, w := range v.drawn {
		rows += (w + 49) / 50
	}
	width = 50
	out.Reset()
	v.Show(echo())
	if up := "\x1b[" + number(rows) + "A"; rows <= 5 || !strings.Contains(out.String(), up) {
		t.Errorf("%q, want %q", out.String(), up)
	}
}

func TestPlain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	v, err := New(f, Auto) // a file is no terminal
	if err != nil || v.Mode() != Plain {
		t.Fatal(v, err)
	}
	s := echo()
	for i := range 12 { // one for the first, one each 5 s, one for the new phase
		s.Elapsed = time.Duration(i) * time.Second
		if i == 11 {
			s.Phase = "echo"
		}
		v.Show(s)
	}
	v.Show(trouble())
	v.Println("done")
	v.Close()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "plain.txt", string(got))
	if v, err := New(f, Off); err != nil {
		t.Error(err)
	} else {
		v.Show(s)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(after, got) {
		t.Error("off shows something")
	}
	if _, err := New(f, "loud"); err == nil || !strings.Contains(err.Error(), "auto, tui, plain or off") {
		t.Error(err)
	}
}
