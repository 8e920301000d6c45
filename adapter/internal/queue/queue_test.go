package queue

import (
	"sync"
	"testing"
)

func TestRingKeepsOrderWhileItWrapsAndGrows(t *testing.T) {
	var r Ring[int]
	next, want := 0, 0
	for round := range 200 {
		for range round%7 + 3 {
			r.Push(next, 2)
			next++
		}
		for range round%5 + 2 {
			v, size, ok := r.Pop()
			if !ok || v != want || size != 2 {
				t.Fatalf("Pop = %d, %d, %v; want %d, 2, true", v, size, ok, want)
			}
			want++
		}
	}
	if r.Len() != next-want || r.Bytes() != 2*(next-want) {
		t.Fatalf("Len, Bytes = %d, %d; want %d, %d", r.Len(), r.Bytes(), next-want, 2*(next-want))
	}
}

func TestRingGivesMemoryBack(t *testing.T) {
	var r Ring[[]byte]
	for range 10 * keep {
		r.Push(nil, 1)
	}
	for r.Len() > 0 {
		r.Pop()
	}
	if len(r.slots) != 0 {
		t.Fatalf("an empty ring keeps %d slots", len(r.slots))
	}
	if _, _, ok := r.Pop(); ok {
		t.Fatal("Pop of an empty ring succeeded")
	}
}

func TestInboxDropsTheOldest(t *testing.T) {
	tests := []struct {
		name          string
		maxLen, bytes int
		sizes         []int
		dropped       int
		want          []int
	}{
		{"fits", 3, 100, []int{1, 1, 1}, 0, []int{0, 1, 2}},
		{"by number", 2, 100, []int{1, 1, 1}, 1, []int{1, 2}},
		{"by bytes", 9, 10, []int{4, 4, 4, 9}, 3, []int{3}},
		{"one larger than all", 9, 10, []int{4, 50}, 1, []int{1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := NewInbox[int](tt.maxLen, tt.bytes)
			dropped := 0
			for i, size := range tt.sizes {
				dropped += b.Put(i, size)
			}
			if dropped != tt.dropped || b.Len() != len(tt.want) {
				t.Fatalf("dropped %d, kept %d; want %d, %d", dropped, b.Len(), tt.dropped, len(tt.want))
			}
			for _, want := range tt.want {
				if v, ok := b.Get(); !ok || v != want {
					t.Fatalf("Get = %d, %v; want %d", v, ok, want)
				}
			}
		})
	}
}

func TestInboxCloseWakesTheConsumer(t *testing.T) {
	b := NewInbox[int](10, 10)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			if _, ok := b.Get(); !ok {
				return
			}
		}
	})
	b.Put(1, 1)
	b.Close()
	wg.Wait()
	if b.Put(2, 1); b.Len() != 0 {
		t.Fatal("a closed inbox took a value")
	}
}

func TestInboxPutWait(t *testing.T) {
	b := NewInbox[int](4, 100)
	for i := range 2 {
		if !b.PutWait(i, 1) {
			t.Fatal("closed")
		}
	}
	taken := make(chan bool)
	go func() { // ends when Close lets the last PutWait return
		for i := 2; ; i++ {
			ok := b.PutWait(i, 1)
			taken <- ok
			if !ok {
				return
			}
		}
	}()
	for want := range 5 {
		if v, ok := b.Get(); !ok || v != want {
			t.Fatalf("Get = %d, %v; want %d", v, ok, want)
		}
		if !<-taken {
			t.Fatal("closed")
		}
	}
	if n := b.Len(); n > 2 {
		t.Fatalf("%d values wait", n)
	}
	b.Close()
	if <-taken {
		t.Fatal("put into a closed inbox")
	}
}

func TestInboxOverHalf(t *testing.T) {
	for name, sizes := range map[string][]int{"by number": {0, 0, 0}, "by bytes": {51}} {
		b := NewInbox[int](4, 100)
		for i, size := range sizes {
			if b.OverHalf() {
				t.Errorf("%s: with %d values", name, i)
			}
			b.Put(i, size)
		}
		if !b.OverHalf() {
			t.Error(name)
		}
	}
}
