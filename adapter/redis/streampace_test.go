package redis

import (
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"
)

func TestPace(t *testing.T) {
	entries := func(n, bytes int) []goredis.XMessage {
		one := goredis.XMessage{Values: map[string]any{"data": strings.Repeat("x", bytes-len("data"))}}
		list := make([]goredis.XMessage, n)
		for i := range list {
			list[i] = one
		}
		return list
	}
	for _, c := range []struct {
		name  string
		bytes int // of an entry
		want  []int
	}{
		{"small", 200, []int{200, 400, 800, 1600, 1600}},
		{"middle", 2048, []int{200, 400, 512, 512}},
		{"large", 1 << 20, []int{100, 100}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var p pace
			for i, want := range c.want {
				n := p.count(100)
				if !p.took(n, entries(n, c.bytes)) {
					t.Error("a full read does not say that there is more")
				}
				if got := p.count(100); got != want {
					t.Fatalf("after %d full reads %d is asked for, not %d", i+1, got, want)
				}
			}
			n := p.count(100)
			if p.took(n, entries(n-1, c.bytes)) {
				t.Error("a read that is not full says that there is more")
			}
			if got := p.count(100); got != n {
				t.Errorf("%d is asked for after a read that was nearly full, not %d", got, n)
			}
			p.took(n, entries(1, c.bytes))
			if got := p.count(100); got != 100 {
				t.Errorf("%d is asked for after it has caught up", got)
			}
		})
	}
}
