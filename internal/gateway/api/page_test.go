package api

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// pagesOf reads names that several nodes have, page by page, as gateways do: each
// node tells its part, sometimes only the beginning of it.
func pagesOf(t *testing.T, rnd *rand.Rand, nodes [][]string, limit int) (got []string) {
	t.Helper()
	var after *string
	for range 10_000 {
		p := newPage[int](after, limit)
		for _, names := range nodes {
			part := newPage[int](after, limit)
			for _, i := range rnd.Perm(len(names)) {
				part.put(names[i], 1)
			}
			list := part.shrink()
			if len(list) > 1 && rnd.IntN(2) == 0 {
				list = list[:1+rnd.IntN(len(list)-1)]
				p.cutAfter(list[len(list)-1])
			}
			for _, name := range list {
				p.put(name, p.m[name]+1)
			}
		}
		names, next := p.names()
		if len(names) > limit || next != "" && len(names) == 0 {
			t.Fatalf("%d names, limit %d, next %q", len(names), limit, next)
		}
		for _, name := range names {
			got = append(got, fmt.Sprintf("%s=%d", name, p.m[name]))
		}
		if next == "" {
			return got
		}
		after = &names[len(names)-1]
	}
	t.Fatal("no end")
	return nil
}

// Whatever is where, the pages together are the whole, in order.
func TestPages(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		counts := map[string]int{}
		nodes := make([][]string, 1+rnd.IntN(4))
		for i := range nodes {
			for range rnd.IntN(400) {
				name := fmt.Sprint(rnd.IntN(600))
				if rnd.IntN(100) == 0 {
					name = ""
				}
				if !slices.Contains(nodes[i], name) {
					nodes[i] = append(nodes[i], name)
					counts[name]++
				}
			}
		}
		var want []string
		for name, n := range counts {
			want = append(want, fmt.Sprintf("%s=%d", name, n))
		}
		byName := func(a, b string) int {
			a, _, _ = strings.Cut(a, "=")
			b, _, _ = strings.Cut(b, "=")
			return strings.Compare(a, b)
		}
		slices.SortFunc(want, byName)
		if got := pagesOf(t, rnd, nodes, 1+rnd.IntN(50)); !slices.Equal(got, want) {
			t.Fatalf("seed %d: got %d, want %d\n%v\n%v", seed, len(got), len(want), got, want)
		}
	}
}

// Sockets for which a node's answer has no room are on the next page.
func TestAnswersAreCut(t *testing.T) {
	c := newCluster(t, 2)
	var want []string
	for i := range 8 {
		want = append(want, c.nodes[i%2].connect(t, "/", auth{"data": strings.Repeat("x", 100)}).ID())
	}
	slices.Sort(want)
	for _, g := range c.nodes {
		g.api.room = 1000 // one, or two
	}
	got, cursor, pages := []string{}, "", 0
	for {
		var page struct {
			Sockets []socketView
			Next    string
		}
		c.nodes[0].get(t, "/v1/namespaces/%2F/sockets?limit=8&cursor="+cursor, &page)
		for _, s := range page.Sockets {
			got = append(got, s.ID)
		}
		pages++
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if !slices.Equal(got, want) || pages < 3 {
		t.Errorf("%d pages with %v, want %v", pages, got, want)
	}
}

func TestCursors(t *testing.T) {
	g := newCluster(t, 1).nodes[0]
	for _, q := range []string{"cursor=x", "cursor=!", "cursor=eA", "limit=0", "limit=1001", "limit=-1", "limit=x", "limit=1&limit=2", "rooms=x", "room=a&room=b", "%zz"} {
		g.send(t, "GET", "/v1/namespaces/%2F/sockets?"+q, "", 400)
	}
	g.send(t, "GET", "/v1/namespaces/%2F/sockets?room=&limit=1000&cursor="+cursorOf("a/b"), "", 200)
}
