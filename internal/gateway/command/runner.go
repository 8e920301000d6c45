package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/fanwire/fanwire/node"
)

// Namespaces finds the namespaces that commands name.
type Namespaces interface {
	// Open returns a namespace, made if no client of this node is in it, and what to
	// call when it is not needed any more. The error is ErrNoNamespace if the
	// configuration has none of that name.
	Open(name string) (ns *node.Namespace, release func(), err error)
}

// ErrNoNamespace says that there is no namespace of that name.
var ErrNoNamespace = errors.New("command: no such namespace")

// Options make a [Runner].
type Options struct {
	Namespaces Namespaces
	// SetData stores what set_data says in a socket of this node; null takes it away.
	// It may be called for one socket from several goroutines at a time and must not
	// block. Without it the data of the socket is the JSON itself.
	SetData func(s *node.Socket, data json.RawMessage)
	Limits  Limits
}

// Runner does what commands say. It is safe for concurrent use.
type Runner struct {
	namespaces Namespaces
	store      func(s *node.Socket, data json.RawMessage)
	limits     atomic.Pointer[Limits]
	counts     map[Kind]*count
	received   atomic.Uint64
}

type count struct{ done, failed atomic.Uint64 }

// NewRunner returns a runner. Its gateway registers it on each namespace by
// [Runner.Handle].
func NewRunner(o Options) *Runner {
	r := &Runner{namespaces: o.Namespaces, store: o.SetData, counts: map[Kind]*count{}}
	for _, k := range Kinds() {
		r.counts[k] = new(count)
	}
	if r.store == nil {
		r.store = func(s *node.Socket, data json.RawMessage) { s.SetData(data) }
	}
	r.SetLimits(o.Limits)
	return r
}

// SetLimits changes the limits for the commands that follow.
func (r *Runner) SetLimits(l Limits) { r.limits.Store(&l) }

// Run does what c says and returns when it is under way: it does not wait for other
// nodes, but for a join of self, which other nodes' events follow (a second at most).
// self is the client that the command came from or is about, nil in the API. A
// command without a target means self; one with a target treats self like any other,
// so that an emit to its room reaches it too unless its id is among Except.
//
// The errors are [*InvalidError], also for a command that names another namespace
// than self's without a target; [ErrNoNamespace]; and those of package node, of which
// one of the adapter says that the clients of this node were reached, other nodes
// not.
func (r *Runner) Run(ctx context.Context, c Command, self *node.Socket) error {
	err := r.run(ctx, &c, self)
	if n := r.counts[c.Kind]; n == nil { // there is no such kind
	} else if err != nil {
		n.failed.Add(1)
	} else {
		n.done.Add(1)
	}
	return err
}

func (r *Runner) run(ctx context.Context, c *Command, self *node.Socket) error {
	l := *r.limits.Load()
	l.Self = self != nil
	if problems := c.Validate(l); problems != nil {
		return &InvalidError{problems}
	}
	if c.Kind != ServerEmit && !c.Targeted() {
		return r.runSelf(ctx, c, self)
	}
	name := c.Namespace
	switch {
	case name != "":
	case self != nil:
		name = self.Namespace().Name()
	default:
		name = "/"
	}
	ns, release, err := r.namespaces.Open(name)
	if err != nil {
		return fmt.Errorf("command: namespace %.200q: %w", name, err)
	}
	defer release()
	return r.runTarget(ctx, c, ns)
}

// runSelf does it to one client of this node.
func (r *Runner) runSelf(ctx context.Context, c *Command, s *node.Socket) error {
	if c.Namespace != "" && c.Namespace != s.Namespace().Name() {
		return &InvalidError{[]Problem{{"namespace", "is not that of the client: to or all is required"}}}
	}
	switch c.Kind {
	case Emit:
		e := s.Compress(c.Compress == nil || *c.Compress)
		if c.Volatile {
			e = e.Volatile()
		}
		return e.Emit(ctx, c.Event, c.Args.Args)
	case Join:
		return s.Join(ctx, c.Rooms...)
	case Leave:
		s.Leave(c.Rooms...)
	case Disconnect:
		s.Disconnect(c.Close)
	case SetData:
		r.store(s, c.Data)
	}
	return nil
}

func (r *Runner) runTarget(ctx context.Context, c *Command, ns *node.Namespace) error {
	switch c.Kind {
	case Emit:
		return c.Broadcast(ns).Emit(ctx, c.Event, c.Args.Args)
	case Join:
		return c.Broadcast(ns).Join(ctx, c.Rooms...)
	case Leave:
		return c.Broadcast(ns).Leave(ctx, c.Rooms...)
	case Disconnect:
		return c.Broadcast(ns).Disconnect(ctx, c.Close)
	case SetData:
		return r.setData(ctx, c, ns)
	default: // ServerEmit
		return ns.ServerEmit(ctx, c.Event, c.Args.Args)
	}
}

// dataEvent tells other gateway nodes to set data. On official nodes, and on those of
// the library, nobody listens for it, and nobody is asked for an answer.
const dataEvent = ownPrefix + "data"

// dataMessage is its argument.
type dataMessage struct {
	To     []string        `json:"to,omitempty"`
	All    bool            `json:"all,omitempty"`
	Except []string        `json:"except,omitempty"`
	Data   json.RawMessage `json:"data"`
}

func (r *Runner) setData(ctx context.Context, c *Command, ns *node.Namespace) error {
	r.storeLocal(ctx, c, ns)
	if c.Local {
		return nil
	}
	return ns.ServerEmit(ctx, dataEvent, dataMessage{To: c.To, All: c.All, Except: c.Except, Data: c.Data})
}

// storeLocal sets the data of the sockets of this node.
func (r *Runner) storeLocal(ctx context.Context, c *Command, ns *node.Namespace) {
	for found := range c.Broadcast(ns).Local().Sockets(ctx) {
		if s, ok := found.Local(); ok {
			r.store(s, c.Data)
		}
	}
}

// Handle lets a namespace, or those of a pattern, do what other gateway nodes say. It
// is called once for each, and takes the server event "fanwire:data".
func (r *Runner) Handle(ns node.Handlers) {
	node.OnServer(ns, dataEvent, func(ctx context.Context, ns *node.Namespace, m dataMessage) error {
		c := Command{Kind: SetData, To: m.To, All: m.All, Except: m.Except, Data: m.Data}
		if problems := c.Validate(*r.limits.Load()); problems != nil {
			return &InvalidError{problems}
		}
		r.received.Add(1)
		r.storeLocal(ctx, &c, ns)
		return nil
	})
}

// Stats counts commands.
type Stats struct {
	Kinds    map[Kind]Count
	Received uint64 // of other nodes
}

// Count is of one kind: commands that were done, and those that were refused or
// failed.
type Count struct{ Done, Failed uint64 }

// Stats returns the counts so far.
func (r *Runner) Stats() Stats {
	s := Stats{Kinds: make(map[Kind]Count, len(r.counts)), Received: r.received.Load()}
	for k, n := range r.counts {
		s.Kinds[k] = Count{n.done.Load(), n.failed.Load()}
	}
	return s
}
