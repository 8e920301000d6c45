package observe

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	alertsFile     = "../../../helm/files/alerts.yaml"
	alertsTests    = "../../../helm/files/alerts_test.yaml"
	dashboardFile  = "../../../helm/files/dashboard.json"
	operationsFile = "../../../docs/operations.md"
)

func readText(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Each alert is complete, tested, and told of in docs/operations.md.
func TestAlerts(t *testing.T) {
	text, tests, page := readText(t, alertsFile), readText(t, alertsTests), readText(t, operationsFile)
	blocks := regexp.MustCompile(`(?m)^ +- (?:alert|record): `).Split(text, -1)[1:]
	var names []string
	for _, block := range blocks {
		name, body, _ := strings.Cut(block, "\n")
		if strings.Contains(name, ":") { // a record
			continue
		}
		names = append(names, name)
		for _, pattern := range []string{
			`labels: { severity: (critical|warning|info) }`, ` summary: .+`, ` description: .+`,
			` runbook_url: https://github.com/fanwire/fanwire/blob/main/docs/operations.md#` + strings.ToLower(name) + "\n",
		} {
			if !regexp.MustCompile(pattern).MatchString(body) {
				t.Errorf("%s does not have %q", name, pattern)
			}
		}
		if !strings.Contains(tests, `alertname="`+name+`", alertstate="firing", severity=`) {
			t.Errorf("no test in which %s fires", name)
		}
		severity := regexp.MustCompile(`severity: (\w+)`).FindStringSubmatch(body)[1]
		if !strings.Contains(page, "\n### "+name+"\n\n"+severity+". ") {
			t.Errorf("docs/operations.md has no section %s that begins with %q", name, severity+".")
		}
	}
	if len(names) < 20 {
		t.Errorf("only the alerts %v", names)
	}
	for _, m := range regexp.MustCompile(`(?m)^### (Fanwire\w+)$`).FindAllStringSubmatch(page, -1) {
		if !slices.Contains(names, m[1]) {
			t.Errorf("docs/operations.md has a section %s, but there is no such alert", m[1])
		}
	}
	known := knownMetrics(t)
	for line := range strings.Lines(text) {
		if !strings.Contains(line, "runbook_url") && !strings.HasPrefix(strings.TrimSpace(line), "- record:") {
			for _, problem := range known.check(line) {
				t.Errorf("alerts.yaml: %s", problem)
			}
		}
	}
}

// promtool takes the rules, and they do what their tests say.
func TestAlertsFire(t *testing.T) {
	tool := promtool(t)
	for _, args := range [][]string{{"check", "rules", alertsFile}, {"test", "rules", alertsTests}} {
		if out, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}

// metricSet has the names of metrics, and their labels with the values that there
// are.
type metricSet map[string]map[string][]string

// knownMetrics are those that a gateway has, and the one that Prometheus makes.
func knownMetrics(t *testing.T) metricSet {
	m := newMetrics(t, allSources())
	m.SetWebhooks("chat")
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	set := metricSet{"up": {}}
	for _, f := range families {
		labels := map[string][]string{}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = append(labels[l.GetName()], l.GetValue())
			}
		}
		names := []string{f.GetName()}
		switch f.GetType().String() {
		case "HISTOGRAM":
			labels["le"] = nil
			names = append(names, f.GetName()+"_bucket", f.GetName()+"_sum", f.GetName()+"_count")
		case "SUMMARY":
			names = append(names, f.GetName()+"_sum", f.GetName()+"_count")
		}
		for _, name := range names {
			set[name] = labels
		}
	}
	return set
}

var (
	metricName = regexp.MustCompile(`(^|[^\w:."/])((?:fanwire|process|go)_\w+)(?:\{([^}]*)\})?`)
	matcher    = regexp.MustCompile(`(\w+) *(=~|!~|!=|=) *"((?:[^"\\]|\\.)*)"`)
	// ofScraper are the labels that Prometheus adds.
	ofScraper = []string{"namespace", "job", "instance", "pod"}
)

// check tells of metrics, labels and values in expression that there are not.
func (s metricSet) check(expression string) (problems []string) {
	for _, m := range metricName.FindAllStringSubmatch(expression, -1) {
		labels, ok := s[m[2]]
		if !ok {
			problems = append(problems, "there is no metric "+m[2])
			continue
		}
		for _, match := range matcher.FindAllStringSubmatch(m[3], -1) {
			values, ok := labels[match[1]]
			switch {
			case slices.Contains(ofScraper, match[1]):
			case !ok:
				problems = append(problems, m[2]+" has no label "+match[1])
			case fromConfig[match[1]] != "" || strings.Contains(match[3], "$"):
			default:
				for value := range strings.SplitSeq(match[3], "|") {
					if !slices.Contains(values, value) {
						problems = append(problems, m[2]+" has no "+match[1]+" "+value)
					}
				}
			}
		}
	}
	return problems
}

// The check finds what it is for.
func TestMetricSetCheck(t *testing.T) {
	set := metricSet{"fanwire_a_total": {"result": {"ok"}}}
	for expression, want := range map[string]string{
		`rate(fanwire_a_total{result="ok", job=~"$job"}[5m])`: "",
		`sum by (result) (fanwire_a_total)`:                   "",
		`instance:fanwire_memory:ratio > 1`:                   "",
		`rate(fanwire_b_total[5m])`:                           "there is no metric fanwire_b_total",
		`fanwire_a_total{reason="ok"}`:                        "fanwire_a_total has no label reason",
		`1 - fanwire_a_total{result=~"ok|not"}`:               "fanwire_a_total has no result not",
	} {
		if got := strings.Join(set.check(expression), "; "); got != want {
			t.Errorf("%s: %q, want %q", expression, got, want)
		}
	}
}

// panel is what the test reads of a panel of the dashboard.
type panel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ H, W, X, Y int }
	FieldConfig              struct {
		Defaults struct{ Unit string }
	}
	Targets []struct{ RefID, Expr string }
}

// The dashboard has what Grafana needs, each panel says what it shows, nothing is on
// top of something else, and all expressions ask for what there is, of what was
// chosen only.
func TestDashboard(t *testing.T) {
	var d struct {
		UID           string
		SchemaVersion int
		Templating    struct {
			List []struct{ Name, Type, Definition string }
		}
		Annotations struct {
			List []struct{ Expr string }
		}
		Panels []panel
	}
	if err := json.Unmarshal([]byte(readText(t, dashboardFile)), &d); err != nil {
		t.Fatal(err)
	}
	known := knownMetrics(t)
	var variables []string
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name)
		for _, problem := range known.check(v.Definition) {
			t.Errorf("variable %s: %s", v.Name, problem)
		}
	}
	if want := []string{"datasource", "namespace", "job", "instance"}; !slices.Equal(variables, want) || d.UID != "fanwire" || d.SchemaVersion < 39 {
		t.Errorf("variables %v, uid %q, schema %d", variables, d.UID, d.SchemaVersion)
	}
	expressions := map[string][]string{}
	for _, a := range d.Annotations.List {
		expressions["annotations"] = append(expressions["annotations"], a.Expr)
	}
	ids := map[int]bool{}
	for i, p := range d.Panels {
		if ids[p.ID] || p.Title == "" {
			t.Errorf("panel %d %q: id or title", p.ID, p.Title)
		}
		ids[p.ID] = true
		for _, q := range d.Panels[:i] {
			a, b := p.GridPos, q.GridPos
			if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H || a.X+a.W > 24 {
				t.Errorf("panel %q is on top of %q, or too wide", p.Title, q.Title)
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Description == "" || len(p.Targets) == 0 || p.FieldConfig.Defaults.Unit == "" && p.Type != "heatmap" {
			t.Errorf("panel %q: description, unit or targets are missing", p.Title)
		}
		for _, target := range p.Targets {
			expressions[p.Title] = append(expressions[p.Title], target.Expr)
		}
	}
	rules := checkExpressions(t, known, expressions)
	file := filepath.Join(t.TempDir(), "rules.json")
	if err := os.WriteFile(file, rules, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(promtool(t), "check", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}

// checkExpressions checks the expressions of a dashboard by their panels, and returns
// them as rules for promtool, with Grafana's variables filled in.
func checkExpressions(t *testing.T, known metricSet, expressions map[string][]string) []byte {
	t.Helper()
	type rule struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	var rules []rule
	fill := strings.NewReplacer("$__rate_interval", "1m", "$__range", "1h")
	selector := regexp.MustCompile(`\b(?:fanwire|process|go)_\w+(\{namespace=~"\$namespace", job=~"\$job", instance=~"\$instance"[,}])?`)
	for title, list := range expressions {
		for _, expression := range list {
			if expression == "" { // Grafana's own annotations
				continue
			}
			for _, problem := range known.check(expression) {
				t.Errorf("panel %q: %s", title, problem)
			}
			for _, m := range selector.FindAllStringSubmatch(expression, -1) {
				if m[1] == "" {
					t.Errorf("panel %q: %s is not of the chosen nodes only", title, m[0])
				}
			}
			rules = append(rules, rule{fmt.Sprintf("panel:%d", len(rules)), fill.Replace(expression)})
		}
	}
	if len(rules) < 50 {
		t.Errorf("only %d expressions", len(rules))
	}
	text, err := json.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	return text
}
