package observe

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

var goVersion = runtime.Version()

var update = flag.Bool("update", false, "write docs/metrics.md")

const metricsFile = "../../../docs/metrics.md"

// TestDocs compares docs/metrics.md with the metrics that there are.
func TestDocs(t *testing.T) {
	want := metricsPage(t)
	if *update {
		if err := os.WriteFile(metricsFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(metricsFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("docs/metrics.md is not up to date: go test ./internal/gateway/observe -run TestDocs -update")
	}
}

// fromConfig are labels whose values are in the configuration, or change with the
// program.
var fromConfig = map[string]string{
	"webhook": "its name", "listener": "its name", "operation": "its name in the OpenAPI document, or other", "kind": "of the command",
	"version": "", "revision": "", "goversion": "",
}

// metricsPage is docs/metrics.md as it should be.
func metricsPage(t *testing.T) string {
	m := newMetrics(t, allSources())
	m.SetWebhooks("chat")
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString(`# Metrics

The gateway serves these at /metrics of the admin listener, in the text format, as OpenMetrics, and as protobuf with native histograms for scrapers that ask for it.
Which of them answers which question is in [observability.md](observability.md). This page is made from the code
(` + "`go test ./internal/gateway/observe -run TestDocs -update`" + `).

No label has a value that comes from a client, and all series are there from the start, with the value 0. Counters are those of the process: there is no label for the node,
which a scraper adds by itself (` + "`instance`" + `). Besides these there are the usual ones of the Go runtime (` + "`go_*`" + `) and of the process (` + "`process_*`" + `).

| metric | type | labels | meaning |
|---|---|---|---|
`)
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "fanwire_") {
			continue
		}
		values := map[string]map[string]bool{}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if values[l.GetName()] == nil {
					values[l.GetName()] = map[string]bool{}
				}
				values[l.GetName()][l.GetValue()] = true
			}
		}
		var labels []string
		for _, name := range slices.Sorted(maps.Keys(values)) {
			list := strings.Join(slices.Sorted(maps.Keys(values[name])), ", ")
			if text, ok := fromConfig[name]; ok {
				list = text
			}
			labels = append(labels, strings.TrimSuffix("`"+name+"`: "+list, ": "))
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.GetName(), strings.ToLower(f.GetType().String()), strings.Join(labels, "; "), f.GetHelp())
	}
	return b.String()
}

// TestObservabilityPage: every metric that the page names is there.
func TestObservabilityPage(t *testing.T) {
	page, err := os.ReadFile("../../../docs/observability.md")
	if err != nil {
		t.Fatal(err)
	}
	m := newMetrics(t, allSources())
	m.SetWebhooks("chat")
	text := scrape(t, m)
	names := regexp.MustCompile(`\b(fanwire|process|go)_[a-z_]+`).FindAllString(string(page), -1)
	if len(names) < 40 {
		t.Fatalf("only %d names", len(names))
	}
	for _, name := range names {
		if !strings.Contains(text, "\n"+name+" ") && !strings.Contains(text, "\n"+name+"{") && !strings.Contains(text, "# TYPE "+name+" ") {
			t.Errorf("there is no %s", name)
		}
	}
}
