package node_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/node"
)

// Message is what a chat client sends and gets.
type Message struct {
	Room string `json:"room"`
	Text string `json:"text"`
}

// A chat server: clients join rooms and talk in them.
func Example() {
	srv, err := node.New(node.Config{})
	if err != nil {
		log.Fatal(err)
	}
	chat := srv.Of("/chat")
	node.On(chat, "join", func(ctx context.Context, s *node.Socket, room string) error {
		return s.Join(ctx, room)
	})
	node.Handle(chat, "say", func(ctx context.Context, s *node.Socket, m Message) (string, error) {
		if !s.InRoom(m.Room) {
			return "", &node.AckError{Values: []any{"join first"}}
		}
		return "sent", s.To(m.Room).Emit(ctx, "said", m) // to the others
	})
	server := &http.Server{Addr: ":3000", Handler: srv, ReadHeaderTimeout: 10 * time.Second}
	go func() { log.Print(server.ListenAndServe()) }()

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	_ = srv.Shutdown(ctx) // first the clients
	_ = server.Shutdown(ctx)
}

// On another path, beside other handlers.
func ExampleConfig_path() {
	srv, err := node.New(node.Config{
		Path: "/realtime/",
		CORS: node.CORS{Origins: []string{"https://app.example"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/realtime/", srv)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := srv.Ready(r.Context()); err != nil {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
		}
	})
}

// A middleware decides who gets in; its error reaches the client.
func ExampleNamespace_Use() {
	srv, _ := node.New(node.Config{})
	type user struct{ Name string }
	srv.Use(func(next node.ConnectFunc) node.ConnectFunc {
		return func(ctx context.Context, s *node.Socket) error {
			var auth struct{ Token string }
			if err := s.Auth(&auth); err != nil {
				return err
			}
			if auth.Token != "secret" {
				return &node.ConnectError{Message: "unauthorized", Data: map[string]int{"code": 401}}
			}
			s.SetData(user{Name: "ann"})
			return next(ctx, s)
		}
	})
	srv.OnConnect(func(ctx context.Context, s *node.Socket) error {
		u, _ := node.Data[user](s)
		return s.Emit(ctx, "welcome", u.Name)
	})
}

// Several arguments, raw ones, and binary.
func ExampleOn() {
	srv, _ := node.New(node.Config{})
	node.On(srv, "move", func(ctx context.Context, s *node.Socket, to node.Tuple2[int, int]) error {
		return s.Broadcast().Emit(ctx, "moved", s.ID(), to) // two more arguments
	})
	node.On(srv, "relay", func(ctx context.Context, s *node.Socket, a node.Args) error {
		return s.Broadcast().Volatile().Emit(ctx, "relay", a) // whatever they are
	})
	node.On(srv, "upload", func(_ context.Context, _ *node.Socket, file struct {
		Name string
		Data []byte // binary, wherever it stands
	},
	) error {
		log.Printf("%s: %d bytes", file.Name, len(file.Data))
		return nil
	})
}

// A slow handler that need not hold up the socket's other events.
func ExampleConcurrent() {
	srv, _ := node.New(node.Config{})
	node.Handle(srv, "report", func(ctx context.Context, _ *node.Socket, year int) (string, error) {
		select {
		case <-time.After(time.Minute): // long work
			return fmt.Sprint("report of ", year), nil
		case <-ctx.Done(): // the client has gone
			return "", ctx.Err()
		}
	}, node.Concurrent())
}

// A broadcast is a value that can be kept and shared.
func ExampleBroadcast() {
	srv, _ := node.New(node.Config{})
	ctx := context.Background()
	staff := srv.To("editors", "admins").Except("away")
	if err := staff.Emit(ctx, "published", 17); err != nil {
		log.Print(err)
	}
	_ = staff.Volatile().Emit(ctx, "typing", "ann")
	_ = staff.Join(ctx, "night shift")
	_ = staff.Local().Disconnect(ctx, true)
}

// An ack of one client.
func ExampleCall() {
	srv, _ := node.New(node.Config{})
	node.On(srv, "buy", func(ctx context.Context, s *node.Socket, item string) error {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		sure, err := node.Call[bool](ctx, s, "confirm", item)
		if errors.Is(err, node.ErrTimeout) {
			return s.Emit(ctx, "too late")
		}
		if err != nil || !sure {
			return err
		}
		return s.Emit(ctx, "bought", item)
	})
}

// Acks of many clients, on all nodes.
func ExampleCallAll() {
	srv, _ := node.New(node.Config{})
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	votes := map[string]int{}
	for vote, err := range node.CallAll[string](ctx, srv.To("jury"), "vote") {
		var partial *node.PartialError
		if errors.As(err, &partial) {
			log.Printf("%d of %d have voted", partial.Got, partial.Want)
			break
		}
		votes[vote]++
	}
}

// The sockets of a room, wherever they are.
func ExampleBroadcast_Sockets() {
	srv, _ := node.New(node.Config{})
	ctx := context.Background()
	for s, err := range srv.In("lobby").Sockets(ctx) {
		if err != nil {
			log.Print(err) // not all nodes have answered
			break
		}
		var user struct{ Name string }
		if s.Data(&user) == nil && user.Name == "" {
			_ = s.Disconnect(ctx, false)
		}
	}
}

// Nodes talk to each other about a namespace.
func ExampleCallServers() {
	var hub adapter.Hub // Redis in production
	a, _ := node.New(node.Config{Adapter: hub.Factory, NodeID: "a"})
	b, _ := node.New(node.Config{Adapter: hub.Factory, NodeID: "b"})
	node.HandleServer(b, "load", func(_ context.Context, ns *node.Namespace, _ node.None) (string, error) {
		return fmt.Sprintf("%s: %d sockets", ns.Server().NodeID(), ns.Len()), nil
	})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = a.Ready(ctx)
	_ = b.Ready(ctx)
	for load, err := range node.CallServers[string](ctx, a.Of("/"), "load") {
		fmt.Println(load, err)
	}
	_ = a.Shutdown(ctx)
	_ = b.Shutdown(ctx)
	// Output: b: 0 sockets <nil>
}

// One namespace for each tenant, made when its first client comes and freed when
// the last one leaves.
func ExampleServer_OfPattern() {
	srv, _ := node.New(node.Config{})
	tenants := srv.OfPattern("/tenant/{id}")
	node.On(tenants, "news", func(ctx context.Context, s *node.Socket, text string) error {
		log.Print("tenant ", s.Namespace().PathValue("id"))
		return s.Namespace().Emit(ctx, "news", text)
	})
	_ = tenants.Emit(context.Background(), "maintenance") // all tenants of this node
}

// A middleware around the handlers of events.
func ExampleNamespace_UseEvent() {
	srv, _ := node.New(node.Config{})
	srv.UseEvent(func(next node.EventFunc) node.EventFunc {
		return func(ctx context.Context, s *node.Socket, e node.Event) error {
			if s.InRoom("banned") {
				return errors.Join(node.Reply(ctx, "you are banned"), errors.New("banned"))
			}
			return next(ctx, s, e)
		}
	})
	srv.OnAny(func(_ context.Context, s *node.Socket, event string, a node.Args) {
		log.Printf("%s sends %q with %d arguments", s.ID(), event, a.Len())
	})
	srv.OnError(func(_ context.Context, _ *node.Socket, err *node.HandlerError) { log.Print(err) })
}
