package redis_test

import (
	"testing"

	"github.com/alicebob/miniredis/v2"

	"github.com/fanwire/fanwire/adapter/adaptertest"
	"github.com/fanwire/fanwire/adapter/redis"
	"github.com/fanwire/fanwire/adapter/redis/redistest"
)

func TestJournalOnMiniredis(t *testing.T) {
	adaptertest.RunJournal(t, func(t *testing.T) adaptertest.Cluster {
		c := cluster(miniredis.RunT(t).Addr(), redis.Config{})
		c.ManualTime = true
		return c
	})
}

func TestJournalOnRedis(t *testing.T) {
	adaptertest.RunJournal(t, func(t *testing.T) adaptertest.Cluster {
		return cluster(redistest.Start(t).Addr, redis.Config{})
	})
}
