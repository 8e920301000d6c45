package main

import (
	"os"

	"github.com/fanwire/fanwire/loadtest/internal/report"
	"github.com/fanwire/fanwire/loadtest/internal/result"
)

// reportCmd shows a result.
type reportCmd struct {
	File string `arg:"" help:"Result, as --out has written it." type:"path"`
	As   string `help:"text, markdown, html, csv, hdr or json." default:"text" enum:"text,markdown,html,csv,hdr,json"`
	Out  string `help:"Write it to this file instead of standard output." placeholder:"FILE" type:"path"`
}

func (c *reportCmd) Run(e *environment) error {
	d, err := report.Read(c.File)
	if err != nil {
		return &exit{exitUsage, err}
	}
	if c.Out == "" {
		return report.Write(e.stdout, d, report.Format(c.As))
	}
	f, err := os.Create(c.Out)
	if err != nil {
		return &exit{exitUsage, err}
	}
	err = report.Write(f, d, report.Format(c.As))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// compareCmd compares two results.
type compareCmd struct {
	A string `arg:"" help:"The result to compare with." type:"path"`
	B string `arg:"" help:"The new one." type:"path"`
}

func (c *compareCmd) Run(e *environment) error {
	a, err := report.Read(c.A)
	if err != nil {
		return &exit{exitUsage, err}
	}
	b, err := report.Read(c.B)
	if err != nil {
		return &exit{exitUsage, err}
	}
	comparison, err := result.Compare(a, b)
	if err != nil {
		return err
	}
	if err := report.Comparison(e.stdout, comparison); err != nil {
		return err
	}
	switch {
	case len(a.Invalid)+len(b.Invalid) > 0:
		return &exit{code: exitInvalid}
	case comparison.Worse():
		return &exit{code: exitThreshold}
	}
	return nil
}
