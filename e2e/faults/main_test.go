//go:build faults

package faults

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

var (
	quick        = flag.Bool("quick", false, "smaller and shorter, once: the rows' figures mean less, what is lost counts as much")
	repeatsFlag  = flag.Int("repeats", 3, "runs of each fault; 1 with -quick")
	rateFlag     = flag.Int("rate", 1000, "events a second")
	adapterFlag  = flag.String("adapter", "classic", "adapter of our nodes: classic, sharded or streams; F08 to F11 and F17 make sense on all")
	officialFlag = flag.String("official", "", "run the faults that can be run against official servers with this adapter: classic, sharded or streams")
	seedFlag     = flag.Uint64("seed", 0, "of the first run; 0 takes a new one")
)

// outDir takes the logs of the processes.
var outDir string

func TestMain(m *testing.M) {
	if words := os.Getenv(crowdFlag); words != "" {
		os.Exit(crowd(strings.Fields(words)))
	}
	os.Exit(mainCode(m))
}

func mainCode(m *testing.M) int {
	flag.Parse()
	if *seedFlag == 0 {
		*seedFlag = rand.Uint64N(1e6) + 1
	}
	var err error
	if outDir, err = filepath.Abs("out"); err == nil {
		err = os.MkdirAll(outDir, 0o755)
	}
	if err == nil {
		serverBinary = filepath.Join(outDir, "server")
		var out []byte
		if out, err = exec.Command("go", "build", "-o", serverBinary, "../server").CombinedOutput(); err != nil {
			err = fmt.Errorf("%w\n%s", err, out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		return 2
	}
	if *officialFlag != "" {
		fmt.Printf("faults: OFFICIAL servers, adapter %s; they count nothing\n", *officialFlag)
	}
	if *adapterFlag != "classic" {
		fmt.Printf("faults: adapter %s\n", *adapterFlag)
	}
	fmt.Printf("faults: seed %d, %d clients, %d events/s, %d runs each\n", *seedFlag, scaled(300, 120), scaled(*rateFlag, *rateFlag*2/5), repeats())
	code := m.Run()
	table()
	return code
}

func repeats() int {
	if *quick {
		return 1
	}
	return max(*repeatsFlag, 1)
}

// scaled is a size, or the smaller one of -quick.
func scaled[T any](full, quickly T) T {
	if *quick {
		return quickly
	}
	return full
}

// allowed is a time that must be kept. The list of faults means it for a machine that has
// nothing else to do; -quick, which runs wherever there is time, has ten times of it:
// enough to tell what is late from what hangs.
func allowed(d time.Duration) time.Duration { return scaled(d, 10*d) }

// result is a row of the table: all runs of one fault.
type result struct {
	id, title                              string
	runs, passed                           int
	expected, lost, localLost              int // deliveries
	doubled, disordered, messages, counted int
	back, local, localTop                  time.Duration
	notes, failures                        []string
}

var results []*result

// run is one run of a fault.
type run struct {
	t      *testing.T
	seed   uint64
	result *result
	failed bool
}

// fault runs one row of the list as often as asked.
func fault(t *testing.T, id, title string, f func(r *run)) {
	if *officialFlag != "" && !officialFaults[id] {
		return
	}
	res := &result{id: id, title: title}
	results = append(results, res)
	for i := range repeats() {
		t.Run(fmt.Sprint(i+1), func(t *testing.T) {
			r := &run{t: t, seed: *seedFlag + uint64(i), result: res}
			res.runs++
			begun := time.Now()
			defer func() { t.Logf("%s seed %d: %v", id, r.seed, time.Since(begun).Round(time.Second)) }()
			defer func() {
				if !r.failed && !t.Failed() {
					res.passed++
				}
			}()
			f(r)
		})
	}
}

// note adds a line to the row.
func (r *run) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.t.Log(text)
	r.result.notes = append(r.result.notes, text)
}

// fail notes why the run does not pass, and goes on.
func (r *run) fail(format string, args ...any) {
	r.t.Helper()
	r.failed = true
	r.result.failures = append(r.result.failures, fmt.Sprintf(format, args...))
	r.t.Errorf(format, args...)
}

func (r *run) check(ok bool, format string, args ...any) {
	r.t.Helper()
	if !ok {
		r.fail(format, args...)
	}
}

// table prints all rows.
func table() {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\nfault\texpected\tlost\tdouble\tout of order\tlost messages\tcounted\tback in\tlocal p99\tpass\t")
	passed := 0
	for _, r := range results {
		if r.runs > 0 && r.passed == r.runs {
			passed++
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%d/%d\t\n", r.id, r.expected, r.lost, r.doubled, r.disordered, r.messages, r.counted,
			r.back.Round(time.Millisecond), r.local.Round(time.Millisecond), r.passed, r.runs)
	}
	_ = w.Flush()
	for _, r := range results {
		fmt.Printf("%s %s\n", r.id, r.title)
		for _, n := range r.notes {
			fmt.Println("     ", strings.ReplaceAll(n, "\n", " "))
		}
		for _, f := range r.failures {
			fmt.Println("  FAIL", f)
		}
	}
	if *officialFlag != "" {
		fmt.Printf("\n%d / %d faults (official servers)\n", passed, len(officialFaults))
		return
	}
	fmt.Printf("\n%d / 20 faults\n", passed)
}
