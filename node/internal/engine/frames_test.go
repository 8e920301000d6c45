package engine

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// frameEnds returns where the frames of a stream end, by another way than the
// tracker's: whole frames at a time.
func frameEnds(lengths []int) (stream []byte, ends []int) {
	for i, n := range lengths {
		f := rawFrame([]byte{0x81, 0x01, 0x80, 0x89, 0x82}[i%5], make([]byte, n))
		if i%3 == 2 { // unmasked ones are tracked as well
			f = appendFrameHeader(nil, 0x81, n)
			f = append(f, make([]byte, n)...)
		}
		stream = append(stream, f...)
		ends = append(ends, len(stream))
	}
	return stream, ends
}

// checkTracker feeds a stream in pieces of the given sizes and checks that no
// piece that comes out goes beyond the end of a frame, and that all does.
func checkTracker(t *testing.T, stream []byte, ends []int, size func() int) {
	t.Helper()
	var tr frameTracker
	for at := 0; at < len(stream); {
		piece := stream[at:min(len(stream), at+max(size(), 1))]
		n := tr.take(piece)
		if n <= 0 || n > len(piece) {
			t.Fatalf("%d of %d bytes at %d", n, len(piece), at)
		}
		at += n
		for len(ends) > 0 && at > ends[0] {
			t.Fatalf("went to %d, a frame ends at %d", at, ends[0])
		}
		if len(ends) > 0 && at == ends[0] {
			ends = ends[1:]
			if tr.left != 0 || tr.have != 0 {
				t.Fatalf("%d and %d bytes left over at the end of a frame", tr.left, tr.have)
			}
		} else if n < len(piece) {
			t.Fatalf("stopped at %d, in the middle of a frame", at)
		}
	}
}

func TestFrameTracker(t *testing.T) {
	lengths := []int{0, 1, 2, 124, 125, 126, 127, 128, 65535, 65536, 70_000, 0, 0, 5}
	stream, ends := frameEnds(lengths)
	for size := range 64 {
		checkTracker(t, stream, ends, func() int { return size })
	}
	checkTracker(t, stream, ends, func() int { return len(stream) })
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		for i := range lengths {
			lengths[i] = rnd.IntN([]int{10, 130, 70_000}[rnd.IntN(3)])
		}
		stream, ends := frameEnds(lengths)
		checkTracker(t, stream, ends, func() int { return rnd.IntN([]int{3, 20, 40_000}[rnd.IntN(3)]) })
	}
}

// FuzzFrameTracker: any bytes in any pieces move the tracker on, and the pieces
// make no difference to where it stops.
func FuzzFrameTracker(f *testing.F) {
	stream, _ := frameEnds([]int{0, 1, 125, 126, 300})
	f.Add(stream, uint8(1))
	f.Add(announced(1<<64-1), uint8(3))
	f.Add(bytes.Repeat([]byte{0x88, 0x81, 0, 0, 0, 0, 3}, 3), uint8(2))
	f.Fuzz(func(t *testing.T, data []byte, size uint8) {
		var whole, parts frameTracker
		var stops, stopsInParts []int
		for at := 0; at < len(data); {
			n := whole.take(data[at:])
			if n <= 0 || n > len(data)-at {
				t.Fatalf("took %d of %d", n, len(data)-at)
			}
			at += n
			stops = append(stops, at)
		}
		for at := 0; at < len(data); {
			piece := data[at:min(len(data), at+int(size)+1)]
			at += parts.take(piece)
			if parts.left == 0 && parts.have == 0 || at == len(data) {
				stopsInParts = append(stopsInParts, at)
			}
		}
		if whole != parts {
			t.Fatalf("%+v and %+v", whole, parts)
		}
		if len(stops) != len(stopsInParts) {
			t.Fatalf("stops at %v and %v", stops, stopsInParts)
		}
	})
}

// TestPieces: what goes into an outbox comes out, from any offset on.
func TestPieces(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		var o outbox
		var want []byte
		for range rnd.IntN(12) {
			f := make([]byte, rnd.IntN([]int{5, 200, 3 * shareFrom}[rnd.IntN(3)]))
			for i := range f {
				f[i] = byte(rnd.Uint32())
			}
			o.addFrames(f)
			want = append(want, f...)
			if o.size != len(want) {
				t.Fatalf("size %d, want %d", o.size, len(want))
			}
		}
		b := o.takeRaw()
		if !o.empty() || o.size != 0 {
			t.Fatal("not empty")
		}
		if b == nil {
			continue
		}
		if b.size != len(want) {
			t.Fatalf("size %d, want %d", b.size, len(want))
		}
		for range 20 {
			off := rnd.IntN(len(want) + 1)
			pieces := b.pieces(nil, off)
			if got := bytes.Join(pieces, nil); !bytes.Equal(got, want[off:]) {
				t.Fatalf("from %d: %d bytes, want %d", off, len(got), len(want)-off)
			}
			for _, p := range pieces {
				if len(p) == 0 {
					t.Fatal("an empty piece")
				}
			}
		}
		b.release()
	}
	var o outbox
	o.addFrames(make([]byte, 10))
	o.addPacket(NewPacket([]byte("abc"), false, nil, true))
	if n := o.discard(); n != 10+3+frameOverhead || !o.empty() || o.size != 0 {
		t.Errorf("%d bytes discarded, %+v", n, o)
	}
}

// A released buffer is empty and small.
func TestRelease(t *testing.T) {
	for range 100 {
		b := frameBuffers.Get().(*frameBuffer)
		if b.size != 0 || len(b.own) != 0 || len(b.shared) != 0 || cap(b.own) > 64<<10 {
			t.Fatalf("%d %d %d %d", b.size, len(b.own), len(b.shared), cap(b.own))
		}
		for range rand.IntN(100) {
			b.append(make([]byte, rand.IntN(2*shareFrom)))
		}
		b.release()
	}
}
