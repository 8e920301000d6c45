package main

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// repository is where links of the changelog lead.
const repository = "https://github.com/fanwire/fanwire"

// kinds are the headings that Keep a Changelog 1.1.0 knows.
var kinds = []string{"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}

// entry is a version's section.
type entry struct {
	version string // 1.2.3, or Unreleased
	date    time.Time
	body    []string // lines
}

type changelog struct {
	entries []entry // newest first, Unreleased before all
	links   map[string]string
}

var (
	heading = regexp.MustCompile(`^## \[([^\]]+)\](?: - (\d{4}-\d{2}-\d{2})( \[YANKED\])?)?$`)
	number  = regexp.MustCompile(`^(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?$`)
	link    = regexp.MustCompile(`^\[([^\]]+)\]: (\S+)$`)
	nearby  = regexp.MustCompile(`\]\(([^)\s]+)\)`)
)

// parseChangelog reads a changelog and tells all that is wrong with its form.
func parseChangelog(text string) (*changelog, []error) {
	c := &changelog{links: make(map[string]string)}
	var problems []error
	problem := func(line int, format string, args ...any) {
		problems = append(problems, fmt.Errorf("line %d: "+format, append([]any{line}, args...)...))
	}
	for i, line := range strings.Split(text, "\n") {
		switch {
		case i == 0 && line != "# Changelog":
			problem(1, `must be "# Changelog"`)
		case strings.HasPrefix(line, "## "):
			e, err := parseHeading(line)
			if err != nil {
				problem(i+1, "%v", err)
			}
			c.entries = append(c.entries, e)
		case link.MatchString(line):
			m := link.FindStringSubmatch(line)
			c.links[m[1]] = m[2]
		case len(c.entries) > 0:
			last := &c.entries[len(c.entries)-1]
			last.body = append(last.body, line)
		}
	}
	problems = append(problems, c.checkOrder()...)
	problems = append(problems, c.checkBodies()...)
	return c, append(problems, c.checkLinks()...)
}

func parseHeading(line string) (entry, error) {
	m := heading.FindStringSubmatch(line)
	if m == nil {
		return entry{version: line}, fmt.Errorf(`%q is not of the form "## [1.2.3] - 2006-01-02"`, line)
	}
	e := entry{version: m[1]}
	switch {
	case e.version == "Unreleased":
		if m[2] != "" {
			return e, errors.New("[Unreleased] has a date")
		}
		return e, nil
	case !number.MatchString(e.version):
		return e, fmt.Errorf("%s is not a semantic version", e.version)
	}
	var err error
	if e.date, err = time.Parse(time.DateOnly, m[2]); err != nil {
		return e, fmt.Errorf("%s has no date: %w", e.version, err)
	}
	return e, nil
}

// checkOrder: Unreleased stands first, then the versions, the newest first. A fix of an
// older line may be later than a release above it, so dates are not compared.
func (c *changelog) checkOrder() (problems []error) {
	if len(c.entries) == 0 || c.entries[0].version != "Unreleased" {
		problems = append(problems, errors.New("the first section must be [Unreleased]"))
	}
	for i, e := range c.entries {
		if i > 0 && e.version == "Unreleased" {
			problems = append(problems, errors.New("[Unreleased] stands twice or late"))
		}
		if i > 1 && compareVersions(c.entries[i-1].version, e.version) <= 0 {
			problems = append(problems, fmt.Errorf("[%s] stands above [%s]", c.entries[i-1].version, e.version))
		}
	}
	return problems
}

// checkBodies: entries are in sections of the known kinds, each at most once, and no
// section and no release is empty.
func (c *changelog) checkBodies() (problems []error) {
	for _, e := range c.entries {
		kind, seen, items := "", map[string]bool{}, map[string]int{}
		for _, line := range e.body {
			name, isKind := strings.CutPrefix(line, "### ")
			switch {
			case isKind:
				if !slices.Contains(kinds, name) || seen[name] {
					problems = append(problems, fmt.Errorf("[%s]: %q is unknown or stands twice; there are %s", e.version, name, strings.Join(kinds, ", ")))
				}
				kind, seen[name] = name, true
			case strings.HasPrefix(line, "- "):
				items[kind]++
			}
		}
		if items[""] > 0 || len(seen) == 0 && e.version != "Unreleased" {
			problems = append(problems, fmt.Errorf("[%s]: entries belong under ### Added and the like", e.version))
		}
		for name := range seen {
			if items[name] == 0 {
				problems = append(problems, fmt.Errorf("[%s]: %s is empty", e.version, name))
			}
		}
	}
	return problems
}

// checkLinks: each version links to its changes, and nothing else is linked.
func (c *changelog) checkLinks() (problems []error) {
	last := len(c.entries) - 1
	for i, e := range c.entries {
		want := repository + "/compare/"
		switch tag := "v" + e.version; {
		case i == last && e.version == "Unreleased": // no release yet
			want = repository + "/commits/main"
		case i == last:
			want = repository + "/releases/tag/" + tag
		case e.version == "Unreleased":
			want += "v" + c.entries[i+1].version + "...HEAD"
		default:
			want += "v" + c.entries[i+1].version + "..." + tag
		}
		if got := c.links[e.version]; got != want {
			problems = append(problems, fmt.Errorf("the link of [%s] is %q, and must be %q", e.version, got, want))
		}
	}
	for name := range c.links {
		if !slices.ContainsFunc(c.entries, func(e entry) bool { return e.version == name }) {
			problems = append(problems, fmt.Errorf("[%s] is linked and has no section", name))
		}
	}
	return problems
}

// notes returns the section of a version for the page of its release, where links to
// files lead into the repository at that version.
func (c *changelog) notes(version string) (string, error) {
	tag := "v" + strings.TrimPrefix(version, "v")
	for _, e := range c.entries {
		if "v"+e.version != tag {
			continue
		}
		body := nearby.ReplaceAllStringFunc(strings.Join(e.body, "\n"), func(s string) string {
			target := nearby.FindStringSubmatch(s)[1]
			if strings.Contains(target, "://") {
				return s
			}
			return "](" + repository + "/blob/" + tag + "/" + target + ")"
		})
		return strings.TrimSpace(body) + "\n\n[All changes](" + c.links[e.version] + ")\n", nil
	}
	return "", fmt.Errorf("there is no section for %s", tag)
}

// compareVersions compares semantic versions; what comes before a release
// (1.0.0-rc.1) is less than it.
func compareVersions(a, b string) int {
	x, y := number.FindStringSubmatch(a), number.FindStringSubmatch(b)
	if x == nil || y == nil {
		return 1 // told elsewhere
	}
	for i := 1; i <= 3; i++ {
		if c := compareNumbers(x[i], y[i]); c != 0 {
			return c
		}
	}
	switch {
	case x[4] == y[4]:
		return 0
	case x[4] == "":
		return 1
	case y[4] == "":
		return -1
	}
	return slices.CompareFunc(strings.Split(x[4], "."), strings.Split(y[4], "."), compareNumbers)
}

// compareNumbers compares as numbers what are two numbers, and else as text.
func compareNumbers(a, b string) int {
	m, errA := strconv.ParseUint(a, 10, 64)
	n, errB := strconv.ParseUint(b, 10, 64)
	if errA != nil || errB != nil {
		return cmp.Compare(a, b)
	}
	return cmp.Compare(m, n)
}
