package docs_test

import (
	"context"
	"log"
	"net/http"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/adapter/redis"
	"github.com/fanwire/fanwire/node"
)

func Example() {
	rdb := goredis.NewClient(&goredis.Options{Addr: "localhost:6379"})
	srv, err := node.New(node.Config{Adapter: redis.NewAdapter(rdb, redis.Config{})})
	if err != nil {
		log.Fatal(err)
	}
	node.On(srv, "chat message", func(ctx context.Context, _ *node.Socket, text string) error {
		return srv.Emit(ctx, "chat message", text) // to every client of every node
	})
	server := &http.Server{
		Addr: ":3001", Handler: srv,
		ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 75 * time.Second, MaxHeaderBytes: 16 << 10,
	}
	log.Fatal(server.ListenAndServe())
}
