// Command release does what a release needs besides the Go command: it checks
// CHANGELOG.md and prints the notes of a version, and it writes bills of materials. It
// reads local files only. `.ci/release` and the workflows run it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

const usage = `usage:
  release notes VERSION [CHANGELOG.md]     print what the changelog says of a version
  release sbom -version V [flags] FILE...  print the bill of materials (SPDX 2.3, JSON) of programs`

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "release: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	if len(args) > 1 {
		switch args[0] {
		case "notes":
			return printNotes(args[1:], out)
		case "sbom":
			return printSBOM(args[1:], out)
		}
	}
	return errors.New(usage)
}

func printNotes(args []string, out io.Writer) error {
	file := "CHANGELOG.md"
	switch {
	case len(args) == 2:
		file = args[1]
	case len(args) > 2:
		return errors.New(usage)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	log, problems := parseChangelog(string(text))
	if len(problems) > 0 {
		return fmt.Errorf("%s: %w", file, errors.Join(problems...))
	}
	notes, err := log.notes(args[0])
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	_, err = io.WriteString(out, notes)
	return err
}

func printSBOM(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("sbom", flag.ContinueOnError)
	var s subject
	var created, only string
	flags.StringVar(&s.Version, "version", "", "version of the programs, as v1.2.3")
	flags.StringVar(&s.Name, "name", "", "what holds the programs, as an image or archive; empty: the programs stand alone")
	flags.StringVar(&s.Lock, "npm", "", "package-lock.json of what lies beside the programs")
	flags.StringVar(&only, "only", "", "names of the packages of -npm that are there, with commas; all but those for development if empty")
	flags.StringVar(&created, "created", "", "time of the document as 2006-01-02T15:04:05Z, for equal bytes from equal input; now if empty")
	if err := flags.Parse(args); err != nil {
		return err
	}
	s.Programs = flags.Args()
	s.Only = strings.FieldsFunc(only, func(r rune) bool { return r == ',' })
	s.Created = time.Now()
	if created != "" {
		var err error
		if s.Created, err = time.Parse(time.RFC3339, created); err != nil {
			return fmt.Errorf("-created: %w", err)
		}
	}
	if len(s.Programs) == 0 || !strings.HasPrefix(s.Version, "v") {
		return errors.New(usage)
	}
	return s.write(out)
}
