package redis_test

import (
	"context"
	"log"
	"os"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/adapter/redis"
)

// A worker tells the clients of a cluster what it has done. It is no node: it
// needs Redis only.
func ExampleEmitter() {
	rdb := goredis.NewClient(&goredis.Options{Addr: "localhost:6379"})
	defer rdb.Close()
	emitter, err := redis.NewEmitter(rdb, redis.EmitterConfig{})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	report, err := os.ReadFile("report.pdf")
	if err != nil {
		log.Fatal(err)
	}
	staff := emitter.Of("/admin").To("staff").Except("muted") // can be kept and shared
	if err := staff.Emit(ctx, "report", "May", report); err != nil {
		log.Fatal(err)
	}

	err = emitter.Batch(ctx, func(e *redis.Emitter) error { // in one trip to Redis
		if err := e.In("trial").Leave(ctx, "premium"); err != nil {
			return err
		}
		return e.To("trial").Emit(ctx, "trial over")
	})
	if err != nil {
		log.Fatal(err)
	}
}
