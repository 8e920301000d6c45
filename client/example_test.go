package client_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"time"

	"github.com/fanwire/fanwire/client"
	"github.com/fanwire/fanwire/node"
)

type message struct {
	Room string `json:"room"`
	Text string `json:"text"`
}

func Example() {
	srv, _ := node.New(node.Config{})
	chat := srv.Of("/chat")
	node.On(chat, "say", func(ctx context.Context, s *node.Socket, m message) error { return s.Emit(ctx, "said", m) })
	node.Handle(chat, "add", func(_ context.Context, _ *node.Socket, in node.Tuple2[int, int]) (int, error) {
		return in.A + in.B, nil
	})
	web := httptest.NewServer(srv)
	defer web.Close()
	defer func() { _ = srv.Shutdown(context.Background()) }()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	said := make(chan message)
	s, err := client.Dial(ctx, web.URL+"/chat", client.Options{}, func(s *client.Socket) {
		client.On(s, "said", func(_ context.Context, m message) { said <- m })
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	if err := s.Emit(ctx, "say", message{"general", "hello"}); err != nil {
		fmt.Println(err)
	}
	fmt.Println((<-said).Text)
	sum, err := client.Call[int](ctx, s, "add", 1, 2)
	fmt.Println(sum, err)
	// Output:
	// hello
	// 3 <nil>
}
