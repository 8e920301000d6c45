package docs_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"time"

	"github.com/fanwire/fanwire/client"
	"github.com/fanwire/fanwire/node"
	"github.com/fanwire/fanwire/protocol/msgpack"
)

// serveGuide is the server of the guide docs/client.md, whose code stands in the
// functions below.
func serveGuide(cfg node.Config) (address string, end func()) {
	srv, err := node.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	for _, ns := range []*node.Namespace{srv.Of("/"), srv.Of("/chat")} {
		node.Handle(ns, "add", func(_ context.Context, _ *node.Socket, in node.Tuple2[int, int]) (int, error) {
			return in.A + in.B, nil
		})
		node.On(ns, "say", func(ctx context.Context, s *node.Socket, m message) error {
			if err := node.Reply(ctx); err != nil && !errors.Is(err, node.ErrNoAck) {
				return err
			}
			return s.Emit(ctx, "said", m)
		})
		node.Handle(ns, "upload", func(_ context.Context, _ *node.Socket, f file) (int, error) { return len(f.Data), nil })
		node.On(ns, "quiz", func(ctx context.Context, s *node.Socket, _ node.None) error {
			answer, err := node.Call[string](ctx, s, "question", "6 times 7?")
			if err != nil {
				return err
			}
			return s.Emit(ctx, "said", message{Text: "the answer is " + answer})
		})
	}
	srv.Of("/chat").Use(func(next node.ConnectFunc) node.ConnectFunc {
		return func(ctx context.Context, s *node.Socket) error {
			var auth struct{ Token string }
			if s.Auth(&auth) != nil || auth.Token == "" {
				return &node.ConnectError{Message: "who are you?", Data: map[string]int{"code": 7}}
			}
			return next(ctx, s)
		}
	})
	web := httptest.NewServer(srv)
	return web.URL, func() {
		_ = srv.Shutdown(context.Background())
		web.Close()
	}
}

type message struct {
	Text string `json:"text"`
}

type file struct {
	Name string `json:"name"`
	Data []byte `json:"data"`
}

func freshToken(context.Context) (string, error) { return "secret", nil }

func Example_client() {
	address, end := serveGuide(node.Config{})
	defer end()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	said := make(chan message, 1)
	s, err := client.Dial(ctx, address, client.Options{}, func(s *client.Socket) {
		client.On(s, "said", func(_ context.Context, m message) { said <- m })
		client.Handle(s, "question", func(_ context.Context, text string) (string, error) { return "42", nil })
		s.OnDisconnect(func(_ context.Context, d client.Disconnect) { log.Print(d.Reason) })
	})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	if err := s.Emit(ctx, "say", message{"hello"}); err != nil {
		log.Fatal(err)
	}
	fmt.Println((<-said).Text)

	_ = s.Emit(ctx, "quiz")
	fmt.Println((<-said).Text)

	sum, err := client.Call[int](ctx, s, "add", 1, 2)
	fmt.Println(sum, err)

	short, stop := context.WithTimeout(ctx, time.Millisecond)
	defer stop()
	_, err = client.Call[int](short, s, "nobody answers this")
	fmt.Println(errors.Is(err, context.DeadlineExceeded))

	size, err := client.Call[int](ctx, s, "upload", file{"a.png", []byte{1, 2, 3}})
	fmt.Println(size, err)

	_ = s.Volatile().Emit(ctx, "position", 12, 34)

	s.OnAny(func(_ context.Context, event string, a client.Args) { log.Print("<- ", event, a.Len()) })
	remove := s.OnAnyOutgoing(func(event string, a client.Args) { log.Print("-> ", event, a.Len()) })
	remove()
	// Output:
	// hello
	// the answer is 42
	// 3 <nil>
	// true
	// 3 <nil>
}

func Example_clientNamespaces() {
	address, end := serveGuide(node.Config{})
	defer end()
	ctx := context.Background()

	c, err := client.New(address, client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	main, chat := c.Of("/"), c.Of("/chat") // one connection
	if err := main.Connect(ctx); err != nil {
		log.Fatal(err)
	}
	var refused *client.ConnectError
	if err := chat.Connect(ctx); errors.As(err, &refused) {
		fmt.Println(refused.Message, string(refused.Data))
	}

	chat.SetAuthFunc(func(ctx context.Context) (any, error) {
		token, err := freshToken(ctx) // asked at each connect, also after a loss
		return map[string]string{"token": token}, err
	})
	if err := chat.Connect(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println(chat.Connected(), c.Transport() != "")
	// Output:
	// who are you? {"code":7}
	// true true
}

func Example_clientReconnection() {
	address, end := serveGuide(node.Config{Recovery: new(node.Recovery)})
	defer end()

	c, err := client.New(address, client.Options{
		Reconnect: client.ReconnectOptions{Delay: 10 * time.Millisecond, DelayMax: 5 * time.Second, Jitter: 0.5},
		SendQueue: 1 << 20, // bytes that Emit keeps while there is no connection
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	c.OnReconnectAttempt(func(n int) { log.Print("attempt ", n) })
	s := c.Of("/")
	back := make(chan bool, 2)
	s.OnConnect(func(context.Context) { back <- s.Recovered() })
	s.OnConnectError(func(_ context.Context, err error) {
		var failed *client.TransportError
		if errors.As(err, &failed) {
			log.Print("status ", failed.Status)
		}
	})
	s.Open() // unlike Connect it does not wait, and a failure is met by trying again
	<-back

	c.Drop() // as if the network had failed
	fmt.Println("recovered:", <-back)
	// Output:
	// recovered: true
}

func Example_clientRetries() {
	address, end := serveGuide(node.Config{})
	defer end()
	ctx := context.Background()

	s, err := client.Dial(ctx, address, client.Options{Retries: 3, AckTimeout: 2 * time.Second})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	done := make(chan error, 1)
	err = s.EmitAck(ctx, "say", func(_ client.Args, err error) { done <- err }, message{"at least once, in order"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-done)
	// Output:
	// <nil>
}

func Example_clientOptions() {
	roots := x509.NewCertPool()
	proxy := &url.URL{Scheme: "http", Host: "proxy.example:3128"}

	options := client.Options{
		Transports: []string{client.WebSocket, client.Polling}, TryAllTransports: true,
		Header: http.Header{"Authorization": {"Bearer token"}},
		Query:  url.Values{"version": {"2"}},
		Auth:   map[string]string{"token": "secret"},
		TLS:    &tls.Config{RootCAs: roots},
		Proxy:  http.ProxyURL(proxy),
		Parser: msgpack.Parser,
	}
	c, err := client.New("https://example.com", options)
	if err != nil {
		log.Fatal(err)
	}
	c.Close()
	// Output:
}

func Example_clientRaw() {
	address, end := serveGuide(node.Config{})
	defer end()
	ctx := context.Background()
	received := make(chan int, 1)

	s, err := client.Dial(ctx, address, client.Options{}, func(s *client.Socket) {
		s.OnRaw(func(e *client.RawEvent) (done bool) {
			if string(e.Name) != "said" {
				return false // the other handlers get it
			}
			received <- len(e.Args) // e is valid until the return
			return true
		})
	})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	_ = s.Emit(ctx, "say", message{"hello"})
	fmt.Println(<-received)
	// Output:
	// 16
}
