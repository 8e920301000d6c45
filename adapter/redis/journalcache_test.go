package redis

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

func xMessage(id string, values map[string]any) goredis.XMessage {
	return goredis.XMessage{ID: id, Values: values}
}

// fakeEntry has one number, its id, and a size of 100.
type fakeEntry uint64

func (e fakeEntry) entryID() entryID { return entryID{ms: uint64(e)} }

func (fakeEntry) size() int { return 100 }

// fakeStream holds the entries first to last.
type fakeStream struct {
	mu          sync.Mutex
	first, last uint64
	reads       atomic.Int64
}

func (s *fakeStream) set(first, last uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.first, s.last = first, last
}

func (s *fakeStream) fetch(_ context.Context, from, to entryID, count int) (list []fakeEntry, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads.Add(1)
	for n := max(from.ms, s.first); n <= min(to.ms, s.last) && len(list) < count; n++ {
		if id := (entryID{ms: n}); id.compare(from) >= 0 {
			list = append(list, fakeEntry(n))
		}
	}
	return list, nil
}

func readAll(c *streamCache[fakeEntry], from, to uint64) (list []fakeEntry, since entryID, err error) {
	end := entryID{ms: to}
	if to == 0 {
		end = lastID
	}
	since, err = c.read(context.Background(), entryID{ms: from}, end, func(part []fakeEntry) { list = append(list, part...) })
	return list, since, err
}

func checkRange(t *testing.T, list []fakeEntry, from, to uint64) {
	t.Helper()
	want := []fakeEntry{}
	for n := from; n <= to; n++ {
		want = append(want, fakeEntry(n))
	}
	if !slices.Equal(list, want) {
		t.Errorf("read %d entries, want %d to %d", len(list), from, to)
	}
}

func TestStreamCache(t *testing.T) {
	s := &fakeStream{first: 1, last: 5000}
	c := newStreamCache(1<<20, s.fetch)
	list, since, err := readAll(c, 100, 5000)
	if err != nil || since != (entryID{ms: 100}) {
		t.Fatalf("since %v, %v", since, err)
	}
	checkRange(t, list, 100, 5000)
	reads := s.reads.Load()
	for range 100 { // from memory
		list, _, err = readAll(c, 2500, 4000)
		if err != nil {
			t.Fatal(err)
		}
		checkRange(t, list, 2500, 4000)
	}
	if n := s.reads.Load(); n != reads {
		t.Errorf("%d reads more", n-reads)
	}
	s.set(3000, 5010) // what is in memory has been trimmed meanwhile, and there is more
	list, since, err = readAll(c, 2000, 5010)
	if err != nil || since.ms > 2000 {
		t.Errorf("since %v, %v", since, err)
	}
	checkRange(t, list, 2000, 5010)
	list, since, _ = readAll(c, 50, 5010) // older: anew, and that is gone
	if since.ms != 3000 {
		t.Errorf("since %v", since)
	}
	checkRange(t, list, 3000, 5010)
	list, _, err = readAll(c, 4000, 0)
	if err != nil {
		t.Error(err)
	}
	checkRange(t, list, 4000, 5010)
}

// TestStreamCacheLost: whatever happens to the stream between two reads, there is
// no gap in what is read.
func TestStreamCacheLost(t *testing.T) {
	s := &fakeStream{first: 1, last: 100}
	c := newStreamCache(1<<20, s.fetch)
	if _, _, err := readAll(c, 1, 100); err != nil {
		t.Fatal(err)
	}
	s.set(150, 200)
	if _, _, err := readAll(c, 50, 200); !errors.Is(err, errStreamLost) {
		t.Errorf("a gap: %v", err)
	}
	list, since, err := readAll(c, 50, 200)
	if err != nil || since.ms != 150 {
		t.Errorf("since %v, %v", since, err)
	}
	checkRange(t, list, 150, 200)
	s.set(1, 0)
	if _, _, err := readAll(c, 50, 300); !errors.Is(err, errStreamLost) {
		t.Errorf("an empty stream: %v", err)
	}
}

// TestStreamCacheBounded: the memory has a bound, what is read has none.
func TestStreamCacheBounded(t *testing.T) {
	s := &fakeStream{first: 1, last: 20_000}
	c := newStreamCache(300_000, s.fetch)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			from := uint64(1 + i*500)
			list, _, err := readAll(c, from, 20_000)
			if err != nil {
				t.Error(err)
			}
			checkRange(t, list, from, 20_000)
		})
	}
	wg.Wait()
	if c.bytes > 300_000+100*cachePage {
		t.Errorf("%d bytes are held", c.bytes)
	}
	c.sweep(time.Now())
	if len(c.pages) == 0 {
		t.Error("forgotten at once")
	}
	c.sweep(time.Now().Add(time.Minute))
	if len(c.pages) != 0 {
		t.Error("not forgotten")
	}
}

// TestStreamCacheShared: many that come at once read the stream once.
func TestStreamCacheShared(t *testing.T) {
	s := &fakeStream{first: 1, last: 10_000}
	c := newStreamCache(16<<20, s.fetch)
	var wg sync.WaitGroup
	for range 300 {
		wg.Go(func() {
			list, _, err := readAll(c, 1, 10_000)
			if err != nil {
				t.Error(err)
			}
			checkRange(t, list, 1, 10_000)
		})
	}
	wg.Wait()
	if n := s.reads.Load(); n > 15 {
		t.Errorf("%d reads", n)
	}
}
