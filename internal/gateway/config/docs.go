package config

import (
	"fmt"
	"io"
	"strings"
)

const docsIntro = `# Configuration

This page is made by ` + "`fanwire config docs`" + ` from the source.

A setting comes from the last of these that has it:

1. its default;
2. the YAML file: ` + "`--config FILE` or `FANWIRE_CONFIG`" + `;
3. the environment;
4. flags.

The path of a setting is its name everywhere: ` + "`redis.tls.enabled` is `enabled` below `tls` below `redis` in the file, `FANWIRE_REDIS_TLS_ENABLED` in the\nenvironment, and the flag `--redis.tls.enabled`" + `. A list, and whatever else has no paths inside, is taken whole from one source. An empty variable counts as not
set.

- **Lists** in variables and flags are written with commas, or as YAML: ` + "`a,b` or `[a, b]`" + `. A flag can be given several times.
- **Structures** (` + "`namespaces`, `webhooks`, `api.keys`" + `) are YAML or JSON in variables and flags.
- **Durations** have a unit: ` + "`500ms`, `25s`, `1m30s`" + `. **Sizes** are bytes, or have one: ` + "`1000`, `64KiB`, `2MB`" + `.
- **Secrets** have no flag, for everybody on a machine can read flags. They are in the variable, in a file that the variable with ` + "`_FILE`" + ` at its end names, or
  in the YAML file, as a text or as ` + "`{file: PATH}`" + `. Newlines at the end of such a file do not count. No output shows a secret.
- **Reload**: settings with a "yes" change on SIGHUP, without dropping a client. If anything is wrong, all of the old configuration stays.

` + "`fanwire config check --config FILE`" + ` tells everything that is wrong, with path and line; ` + "`--print`" + ` shows what would run and where each value comes
from. ` + "`fanwire config defaults`" + ` prints a file with all defaults. [examples/gateway.yaml](examples/gateway.yaml) is a chat with a backend.
`

// WriteDocs writes docs/configuration.md: what each setting means, in Markdown.
func WriteDocs(w io.Writer) error {
	var b strings.Builder
	b.WriteString(docsIntro)
	for _, section := range Sections() {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", section.Name, section.Doc)
		var rows []Setting
		for _, s := range allSettings() {
			switch {
			case s.Path == section.Name: // a list or map: it is what the text above says
				fmt.Fprintf(&b, "\nVariable `%s`. Reload: %s.", s.Variable, yes(s.Reload))
				if s.Kind != Structure {
					fmt.Fprintf(&b, " It is %s, %s by default.", s.Kind, code(s.Default))
				}
				b.WriteString("\n")
			case strings.FieldsFunc(s.Path, func(r rune) bool { return r == '.' || r == '[' })[0] == section.Name:
				rows = append(rows, s)
			}
		}
		if len(rows) == 0 {
			continue
		}
		b.WriteString("\n| setting | kind | default | reload | |\n|---|---|---|---|---|\n")
		for _, s := range rows {
			name := "`" + s.Path + "`"
			if s.Variable != "" {
				name += "<br>`" + s.Variable + "`"
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", name, s.Kind, code(s.Default), yes(s.Reload), cell(s.Doc))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func yes(v bool) string {
	if v {
		return "yes"
	}
	return "no"
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

// cell is a text in a table: Markdown and HTML in it mean nothing.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "*", `\*`, "_", `\_`, "<", "&lt;", "[", `\[`).Replace(s)
}
