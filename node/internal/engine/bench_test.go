package engine

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
)

// readers opens n WebSocket sessions whose clients read and drop everything.
func readers(tb testing.TB, ts *testServer, n int) []*Session {
	tb.Helper()
	list := make([]*Session, n)
	for i := range list {
		nc := ts.open(tb).NetConn()
		go func() { // ends with the connection
			buf := make([]byte, 4096)
			for {
				if _, err := nc.Read(buf); err != nil {
					return
				}
			}
		}()
		list[i] = ts.session(tb).s
	}
	return list
}

// drain waits until everything that was sent has been written.
func drain(list []*Session) {
	for _, s := range list {
		for s.Queued() > 0 {
			runtime.Gosched()
		}
	}
}

// BenchmarkSend sends one packet to all sessions; the time includes the writes
// and the clients, in one process.
func BenchmarkSend(b *testing.B) {
	for _, n := range []int{1, 1000} {
		for _, size := range []int{128, 16 << 10} {
			b.Run(fmt.Sprintf("sessions=%d/size=%d", n, size), func(b *testing.B) {
				ts := newTestServer(b, Config{}, nil)
				list := readers(b, ts, n)
				text := make([]byte, size)
				for i := range text {
					text[i] = 'x'
				}
				b.ReportAllocs()
				b.SetBytes(int64(n * size))
				for i := 0; b.Loop(); i++ {
					p := NewPacket(text, false, nil, true)
					for _, s := range list {
						if !s.Send(p, false) {
							b.Fatal("not taken")
						}
					}
					if i%16 == 15 {
						drain(list)
					}
				}
				drain(list)
			})
		}
	}
}

// BenchmarkSendText answers one session.
func BenchmarkSendText(b *testing.B) {
	ts := newTestServer(b, Config{}, nil)
	list := readers(b, ts, 1)
	text := make([]byte, 128)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if !list[0].SendText(text) {
			b.Fatal("not taken")
		}
		if i%1000 == 999 {
			drain(list)
		}
	}
	drain(list)
}

// BenchmarkEcho is a round trip of one client: read, inline handler, answer.
func BenchmarkEcho(b *testing.B) {
	ts := newTestServer(b, Config{}, ackInline)
	ts.quiet = true
	nc := ts.open(b).NetConn()
	frame := rawFrame(0x81, []byte("4"+fmt.Sprintf("%0128d", 0)))
	buf := make([]byte, 2+1+128+2)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := nc.Write(frame); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(nc, buf); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFrameTracker follows a stream of small frames in reads of 16 KiB.
func BenchmarkFrameTracker(b *testing.B) {
	stream, _ := frameEnds(slices.Repeat([]int{128}, 120))
	var tr frameTracker
	b.SetBytes(int64(len(stream)))
	b.ReportAllocs()
	for b.Loop() {
		tr.observe(stream)
	}
}

// underRace tells whether this is a build for the race detector, in which pools
// forget things.
func underRace() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// TestSendDoesNotAllocate guards the hot path: in steady state a prepared packet
// and a copied text cost no memory, from the call to the socket.
func TestSendDoesNotAllocate(t *testing.T) {
	if underRace() {
		t.Skip("the race detector's pools allocate")
	}
	ts := newTestServer(t, Config{}, nil)
	list := readers(t, ts, 10)
	text := make([]byte, 128)
	for name, packet := range map[string]*Packet{
		"small":       NewPacket(text, false, nil, true),
		"shared":      NewPacket(make([]byte, 2*shareFrom), false, nil, true),
		"attachments": NewPacket(text, false, [][]byte{text, text}, true),
		"text":        nil,
	} {
		send := func() {
			for _, s := range list {
				if packet != nil {
					s.Send(packet, false)
				} else {
					s.SendText(text)
				}
			}
			drain(list)
		}
		send()
		if n := testing.AllocsPerRun(200, send); n != 0 {
			t.Errorf("%s: %v allocations for %d sessions", name, n, len(list))
		}
	}
}
