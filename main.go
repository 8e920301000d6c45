// Command fanwire is a Socket.IO cluster in Go. `fanwire demo` shows one.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/fanwire/fanwire/internal/buildinfo"
	"github.com/fanwire/fanwire/internal/demo"
	"github.com/fanwire/fanwire/internal/emitcmd"
	"github.com/fanwire/fanwire/internal/servecmd"
)

type cli struct {
	Demo      demoCmd            `cmd:"" help:"Run a whole cluster in this process: Redis, nodes, a balancer and a chat page."`
	Emit      emitcmd.Command    `cmd:"" help:"Send an event to the clients of a cluster, or make them join, leave or disconnect."`
	Serve     servecmd.Serve     `cmd:"" help:"Run a node of the gateway: a server for backends in any language."`
	Health    servecmd.Health    `cmd:"" help:"Ask the node of the gateway on this machine whether it lives, or is ready. The exit code is 0 or 1."`
	Config    servecmd.Config    `cmd:"" help:"Show and check the configuration of the gateway."`
	Token     servecmd.Token     `cmd:"" help:"Make a token with which a client can connect to the gateway, for trying things out."`
	Handshake servecmd.Handshake `cmd:"" help:"Open a session at a server as a client does, and close it."`
	Version   versionCmd         `cmd:"" help:"Print the version, the revision of the source and what built it."`
}

type demoCmd struct {
	Listen    string `help:"Address of the balancer; port 0 picks a free one." default:"127.0.0.1:3000" placeholder:"ADDRESS"`
	Nodes     int    `help:"Number of nodes." default:"3"`
	Redis     string `help:"Use this Redis (host:port or redis:// URL) instead of the embedded one." placeholder:"ADDRESS"`
	ClientDir string `help:"Folder with the official client's bundle (socket.io.min.js ...) to serve. Without it the page loads the client from the official CDN." placeholder:"DIR" type:"existingdir"`
	JSON      bool   `name:"json" help:"Print one JSON object per line."`
}

func (c *demoCmd) Run(ctx context.Context, out io.Writer) error {
	return demo.Run(ctx, demo.Config{
		Listen:    c.Listen,
		Nodes:     c.Nodes,
		Redis:     c.Redis,
		ClientDir: c.ClientDir,
	}, out, c.JSON)
}

type versionCmd struct {
	JSON bool `name:"json" help:"Print a JSON object."`
}

// Run prints what is known of the build, the revision short; as JSON in full.
func (c *versionCmd) Run(_ context.Context, out io.Writer) error {
	info := buildinfo.Read()
	if c.JSON {
		return json.NewEncoder(out).Encode(info)
	}
	_, err := fmt.Fprintf(out, "fanwire %v\n", info)
	return err
}

func main() {
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	os.Exit(run(untilSignal(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// untilSignal returns a context that ends with the first signal to stop. The
// second ends the process at once.
func untilSignal() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() { // ends with the process
		<-signals
		cancel()
		<-signals
		os.Exit(1)
	}()
	return ctx
}

// run runs a command line and returns the exit code: 0, 1 when the command
// failed, 2 for a wrong command line.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	done := -1 // the code with which --help ends
	parser, err := kong.New(&cli{Serve: servecmd.NewServe(buildinfo.Read()), Health: servecmd.NewHealth(), Config: servecmd.NewConfig()},
		kong.Name("fanwire"),
		kong.Description("A Socket.IO cluster in Go."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { done = code }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.BindTo(stdin, (*io.Reader)(nil)),
		kong.BindTo(stdout, (*io.Writer)(nil)),
	)
	if err != nil {
		panic(err) // the struct tags above are wrong
	}
	command, err := parser.Parse(args)
	switch {
	case done >= 0:
		return done
	case err != nil:
		_, _ = fmt.Fprintf(stderr, "fanwire: %v\nRun \"fanwire --help\" for the commands.\n", err)
		return 2
	}
	if err := command.Run(); err != nil {
		_, _ = fmt.Fprintf(stderr, "fanwire: %v\n", err)
		return 1
	}
	return 0
}
