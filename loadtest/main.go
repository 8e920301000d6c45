// Command loadtest puts a Socket.IO cluster under load and accounts for every message:
// see docs/loadtest.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/fanwire/fanwire/internal/buildinfo"
	"github.com/fanwire/fanwire/loadtest/internal/fleet"
	"github.com/fanwire/fanwire/loadtest/internal/plan"
	"github.com/fanwire/fanwire/loadtest/internal/remote"
)

// Exit codes.
const (
	exitOK          = 0
	exitFailed      = 1 // something else
	exitUsage       = 2
	exitThreshold   = 3
	exitTarget      = 4 // cannot be reached, or refuses
	exitInvalid     = 5 // the figures cannot be trusted
	exitInterrupted = 130
)

type cli struct {
	Connect connectCmd `cmd:"" help:"Connect clients and hold them: latency of handshakes, failures, balance over the nodes."`
	Echo    echoCmd    `cmd:"" help:"Emit with ack: round trips."`
	Fanout  fanoutCmd  `cmd:"" help:"Publish into rooms and account for every delivery: lost, doubled, out of order, how late."`
	Churn   churnCmd   `cmd:"" help:"Let clients join, leave, disconnect and come back at a rate, while messages are published."`
	Storm   stormCmd   `cmd:"" help:"Break all connections at once, or a node by a command, and time the recovery."`
	Run     runCmd     `cmd:"" help:"Run a scenario file with stages that mix the above."`
	Report  reportCmd  `cmd:"" help:"Show a result: as text, Markdown, HTML, CSV or a log of HdrHistogram."`
	Compare compareCmd `cmd:"" help:"Tell how result B differs from A, with noise bounds. The exit code is 3 if it is worse."`
	Agent   agentCmd   `cmd:"" help:"Wait for a coordinator, which is any of the commands above with --agents, and make its load."`
	Worker  workerCmd  `cmd:"" hidden:"" help:"Take a part of a test, by orders on standard input. For --processes."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

type versionCmd struct{}

func (versionCmd) Run(e *environment) error {
	info := buildinfo.Read()
	_, err := fmt.Fprintf(e.stdout, "loadtest %s (%s %s)\n", info.Version, info.Go, info.Platform)
	return err
}

// environment is what commands get.
type environment struct {
	ctx            context.Context
	args           []string // the command line
	stdin          io.Reader
	stdout, stderr io.Writer
}

// exit is an error with a code. Without an error in it nothing is printed.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

// codeOf is the exit code of an error.
func codeOf(err error) int {
	var coded *exit
	var target *fleet.TargetError
	var problem plan.Problem
	var problemAt *plan.Problem
	var failure *remote.Failure
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &coded):
		return coded.code
	case errors.As(err, &failure):
		return failure.Code
	case errors.As(err, &target):
		return exitTarget
	case errors.As(err, &problem), errors.As(err, &problemAt):
		return exitUsage
	}
	return exitFailed
}

func main() {
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	os.Exit(runLine(&environment{ctx: untilSignal(), args: os.Args[1:], stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}))
}

// untilSignal returns a context that ends with the first signal to stop. The second ends
// the process at once.
func untilSignal() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() { // ends with the process
		<-signals
		cancel()
		<-signals
		os.Exit(exitInterrupted)
	}()
	return ctx
}

// runLine runs a command line and returns the exit code.
func runLine(e *environment) int {
	done := -1 // the code with which --help ends
	parser, err := kong.New(new(cli),
		kong.Name("loadtest"),
		kong.Description("Load tests for Socket.IO clusters that account for every message."),
		kong.Writers(e.stdout, e.stderr),
		kong.Exit(func(code int) { done = code }),
		kong.Bind(e),
	)
	if err != nil {
		panic(err) // the struct tags are wrong
	}
	command, err := parser.Parse(e.args)
	switch {
	case done >= 0:
		return done
	case err != nil:
		_, _ = fmt.Fprintf(e.stderr, "loadtest: %v\nRun \"loadtest --help\" for the commands.\n", err)
		return exitUsage
	}
	err = command.Run(e)
	if coded := (*exit)(nil); err != nil && !(errors.As(err, &coded) && coded.err == nil) {
		_, _ = fmt.Fprintf(e.stderr, "loadtest: %v\n", err)
	}
	return codeOf(err)
}
