package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

var update = flag.Bool("update", false, "write the table of flags into docs/loadtest.md")

// flagTable is the reference of flags, in Markdown.
func flagTable(t *testing.T) string {
	t.Helper()
	parser, err := kong.New(new(cli), kong.Bind(&environment{}))
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		text     string
		commands []string
	}
	rows := make(map[string][]*row) // by group
	var groups []string
	for _, command := range parser.Model.Children {
		if command.Hidden {
			continue
		}
		for _, f := range command.Flags {
			if f.Group == nil || f.Hidden {
				continue
			}
			text := fmt.Sprintf("`--%s` | %s | %s", f.Name, defaultOf(f), strings.ReplaceAll(f.Help, "|", "\\|"))
			if !slices.Contains(groups, f.Group.Title) {
				groups = append(groups, f.Group.Title)
			}
			list := rows[f.Group.Title]
			i := slices.IndexFunc(list, func(r *row) bool { return r.text == text })
			if i < 0 {
				i = len(list)
				list = append(list, &row{text: text})
				rows[f.Group.Title] = list
			}
			list[i].commands = append(list[i].commands, command.Name)
		}
	}
	var b strings.Builder
	for _, g := range groups {
		fmt.Fprintf(&b, "\n%s:\n\n| flag | default | | of |\n|---|---|---|---|\n", g)
		for _, r := range rows[g] {
			fmt.Fprintf(&b, "| %s | %s |\n", r.text, ofCommands(r.commands))
		}
	}
	return b.String()
}

func defaultOf(f *kong.Flag) string {
	if f.HasDefault {
		return "`" + f.Default + "`"
	}
	return ""
}

// ofCommands shortens the usual lists.
func ofCommands(names []string) string {
	switch text := strings.Join(names, ", "); text {
	case "connect, echo, fanout, churn, storm, run":
		return "all"
	case "connect, echo, fanout, churn, storm":
		return "all but run"
	default:
		return text
	}
}

// The page has the flags that there are. `go test ./loadtest -run TestDocs -update`
// writes them.
func TestDocs(t *testing.T) {
	const page, from, to = "../docs/loadtest.md", "<!-- flags -->\n", "<!-- end of flags -->"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), from)
	table, after, ok2 := strings.Cut(rest, to)
	if !ok || !ok2 {
		t.Fatal("the marks of the table are missing")
	}
	want := flagTable(t) + "\n"
	if table == want {
		return
	}
	if *update {
		if err := os.WriteFile(page, []byte(before+from+want+to+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Error("docs/loadtest.md has other flags than the program: run this test with -update")
}
