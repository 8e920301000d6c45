// Package emitcmd is the command `fanwire emit`: it sends one event, or one order
// to join, leave or disconnect, to the clients of a cluster, from outside of it.
package emitcmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/fanwire/fanwire/adapter/redis"
)

// Command is the command line, for kong. Its tags are its documentation.
type Command struct {
	Event string   `arg:"" optional:"" help:"Name of the event."`
	Args  []string `arg:"" optional:"" name:"argument" help:"Arguments of the event, in JSON; see above."`

	Namespace string   `short:"n" default:"/" help:"Namespace." placeholder:"NAME"`
	Room      []string `short:"r" sep:"none" help:"Only clients in this room; a client is in the room of its id. May be given several times." placeholder:"ROOM"`
	Except    []string `short:"x" sep:"none" help:"Not clients in this room. May be given several times." placeholder:"ROOM"`
	Volatile  bool     `help:"Drop the event for clients to which it cannot be sent at once."`
	Compress  bool     `negatable:"" default:"true" help:"Compress the event where the transport compresses."`

	Server     bool     `xor:"action" help:"Send the event to the servers instead of the clients."`
	Join       []string `xor:"action" sep:"none" help:"Make the clients join this room, instead of sending an event. May be given several times." placeholder:"ROOM"`
	Leave      []string `xor:"action" sep:"none" help:"Make the clients leave this room. May be given several times." placeholder:"ROOM"`
	Disconnect bool     `xor:"action" help:"Disconnect the clients from the namespace. Needs --room, --except or --all."`
	Close      bool     `help:"With --disconnect: end their whole connections."`
	All        bool     `help:"With --disconnect: all clients of the namespace."`

	Redis             string `help:"Address of Redis: host:port or a redis:// or rediss:// URL without a password. Default: the environment variable FANWIRE_REDIS, or 127.0.0.1:6379." placeholder:"ADDRESS"`
	RedisPasswordFile string `type:"existingfile" help:"File with the password of Redis." placeholder:"FILE"`
	RedisCluster      bool   `help:"The address is that of a node of a Redis Cluster."`

	Adapter          string `enum:"classic,sharded,streams" default:"classic" help:"Adapter of the nodes: ${enum}." placeholder:"NAME"`
	Key              string `default:"socket.io" help:"Prefix of the channels in Redis, as the nodes have it." placeholder:"PREFIX"`
	NoIDPattern      bool   `name:"no-id-pattern" help:"Classic: the nodes have NoIDPattern set."`
	SubscriptionMode string `enum:"dynamic,dynamic-private,static" default:"dynamic" help:"Sharded: subscription mode of the nodes (${enum})." placeholder:"MODE"`
	StreamName       string `default:"socket.io" help:"Streams: name of the stream, as the nodes have it." placeholder:"NAME"`
	StreamCount      int    `default:"1" help:"Streams: number of streams, as the nodes have it." placeholder:"N"`
	MaxLen           int    `default:"10000" help:"Streams: about how many entries a stream has at most, as the nodes have it." placeholder:"N"`

	Timeout time.Duration `default:"5s" help:"How long it may take."`
	Verbose bool          `short:"v" help:"Say what was sent."`
}

// Help implements kong's HelpProvider.
func (*Command) Help() string {
	return `Arguments are JSON values, one each:

  fanwire emit news '{"title":"Hello"}' 5 '"text"'
  fanwire emit news =text            a string without quotes
  fanwire emit news @photo.jpg       a file as binary data; @- for standard input
  fanwire emit news -                JSON from standard input
  fanwire emit news -- -5            a negative number, after --

To some clients, in another namespace, to the servers:

  fanwire emit -n /chat -r lobby -r staff -x muted said '{"text":"Hi"}'
  fanwire emit --server reload

Instead of an event:

  fanwire emit -r lobby --join vip
  fanwire emit --leave vip
  fanwire emit -r <socket id> --disconnect --close

A password for Redis comes from FANWIRE_REDIS (a URL), FANWIRE_REDIS_PASSWORD or a file. The command waits until Redis has the message, not for clients.`
}

// Validate implements kong's Validatable: a wrong command line ends the program
// with exit code 2 and before anything is sent.
func (c *Command) Validate() error {
	action := c.action()
	switch {
	case action == "" && c.Event == "":
		return errors.New("expected an event, or one of --join, --leave and --disconnect")
	case action != "" && action != "--server" && c.Event != "":
		return fmt.Errorf("%s takes no event", action)
	case action == "--server" && c.Event == "":
		return errors.New("--server needs an event")
	case action == "--server" && len(c.Room)+len(c.Except) > 0:
		return errors.New("--room and --except do not go with --server: servers are in no room")
	case action != "" && (c.Volatile || !c.Compress):
		return fmt.Errorf("--volatile and --no-compress do not go with %s", action)
	case (c.Close || c.All) && !c.Disconnect:
		return errors.New("--close and --all need --disconnect")
	case c.Disconnect && !c.All && len(c.Room)+len(c.Except) == 0:
		return errors.New("--disconnect without --room and --except means every client: add --all if you want that")
	case c.Timeout <= 0:
		return errors.New("--timeout must be positive")
	}
	_, err := parseArguments(c.Args)
	return errors.Join(err, checkFlagAddress(c.Redis))
}

// action is the flag that says what to do, or empty for an event to the clients.
func (c *Command) action() string {
	switch {
	case c.Server:
		return "--server"
	case len(c.Join) > 0:
		return "--join"
	case len(c.Leave) > 0:
		return "--leave"
	case c.Disconnect:
		return "--disconnect"
	}
	return ""
}

// Run does it.
func (c *Command) Run(ctx context.Context, in io.Reader, out io.Writer) error {
	arguments, err := parseArguments(c.Args)
	if err != nil {
		return err
	}
	values, err := arguments.load(in)
	if err != nil {
		return err
	}
	client, err := c.connect()
	if err != nil {
		return err
	}
	defer client.Close()
	emitter, err := redis.NewEmitter(client, c.config())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	emitter = emitter.Of(c.Namespace)
	if err := c.send(ctx, emitter, values); err != nil {
		return err
	}
	if c.Verbose {
		_, err = fmt.Fprintf(out, "%s of %s\n", c.summary(len(values)), emitter.Namespace())
	}
	return err
}

func (c *Command) config() redis.EmitterConfig {
	return redis.EmitterConfig{
		Wire:             redis.Wire(c.Adapter),
		Key:              c.Key,
		NoIDPattern:      c.NoIDPattern,
		SubscriptionMode: redis.SubscriptionMode(c.SubscriptionMode),
		StreamName:       c.StreamName,
		StreamCount:      c.StreamCount,
		MaxLen:           c.MaxLen,
		Timeout:          c.Timeout,
	}
}

func (c *Command) send(ctx context.Context, e *redis.Emitter, values []any) error {
	to := e.To(c.Room...).Except(c.Except...).Compress(c.Compress)
	switch {
	case c.Server:
		return e.ServerEmit(ctx, c.Event, values...)
	case len(c.Join) > 0:
		return to.Join(ctx, c.Join...)
	case len(c.Leave) > 0:
		return to.Leave(ctx, c.Leave...)
	case c.Disconnect:
		return to.Disconnect(ctx, c.Close)
	case c.Volatile:
		to = to.Volatile()
	}
	return to.Emit(ctx, c.Event, values...)
}

// summary says what was sent to whom.
func (c *Command) summary(values int) string {
	to := "all clients"
	if len(c.Room) > 0 {
		to = "the clients in " + list(c.Room)
	}
	if len(c.Except) > 0 {
		to += " but not in " + list(c.Except)
	}
	switch c.action() {
	case "--join":
		return fmt.Sprintf("told to join %s: %s", list(c.Join), to)
	case "--leave":
		return fmt.Sprintf("told to leave %s: %s", list(c.Leave), to)
	case "--disconnect":
		return "told to disconnect: " + to
	case "--server":
		to = "the servers"
	}
	return fmt.Sprintf("sent %q, arguments: %d, to %s", c.Event, values, to)
}

func list(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = fmt.Sprintf("%q", name)
	}
	return strings.Join(quoted, ", ")
}
