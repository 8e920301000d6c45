package client

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"
)

// benchServer joins clients to "/" and hands their connections to serve.
func benchServer(tb testing.TB, serve func(conn *websocket.Conn)) string {
	tb.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u := websocket.Upgrader{ReadBufferSize: 512, WriteBufferSize: 512}
		conn, err := u.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		_ = conn.WriteMessage(websocket.TextMessage, []byte(defaultHello))
		_, _, _ = conn.ReadMessage()
		_ = conn.WriteMessage(websocket.TextMessage, []byte(`40{"sid":"id1"}`))
		serve(conn)
	}))
	tb.Cleanup(srv.Close)
	return srv.URL
}

var benchOptions = fast(Options{Transports: []string{WebSocket}})

// flood is a server that sends events of 128 bytes without end until the function
// is called.
func flood(b *testing.B) (address string, stop func()) {
	frame := []byte("\x81\x7e\x00\x90" + `42["event","` + strings.Repeat("x", 128) + `"]` + "    ")
	frame[3] = byte(len(frame) - 4)
	many := []byte(strings.Repeat(string(frame), 100))
	stopped := make(chan struct{})
	address = benchServer(b, func(conn *websocket.Conn) {
		for {
			select {
			case <-stopped:
				return
			default:
			}
			if _, err := conn.NetConn().Write(many); err != nil {
				return
			}
		}
	})
	return address, sync.OnceFunc(func() { close(stopped) })
}

// BenchmarkReceive is one event of 128 bytes from the network to a handler, in a
// flood of them.
func BenchmarkReceive(b *testing.B) {
	b.Run("On", func(b *testing.B) {
		benchmarkReceive(b, func(s *Socket, got func()) {
			On(s, "event", func(context.Context, string) { got() })
		})
	})
	b.Run("OnAny", func(b *testing.B) {
		benchmarkReceive(b, func(s *Socket, got func()) {
			s.OnAny(func(context.Context, string, Args) { got() })
		})
	})
	b.Run("OnRaw", func(b *testing.B) {
		benchmarkReceive(b, func(s *Socket, got func()) {
			s.OnRaw(func(*RawEvent) bool { got(); return true })
		})
	})
}

func benchmarkReceive(b *testing.B, register func(s *Socket, got func())) {
	const batch = 1000 // so that the benchmark itself costs little
	address, stop := flood(b)
	defer stop()
	batches := make(chan struct{})
	done := make(chan struct{})
	n := 0
	s, err := Dial(context.Background(), address, benchOptions, func(s *Socket) {
		register(s, func() {
			if n++; n%batch == 0 {
				select {
				case batches <- struct{}{}:
				case <-done:
				}
			}
		})
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	cpu := cpuTime()
	for i := 0; b.Loop(); i++ {
		if i%batch == 0 {
			<-batches
		}
	}
	b.ReportMetric(float64(cpuTime()-cpu)/float64(b.N), "cpu-ns/op") // that of the server too
	b.StopTimer()
	close(done)
	stop()
	s.Close()
}

// BenchmarkCall is an echo with ack.
func BenchmarkCall(b *testing.B) {
	address := benchServer(b, func(conn *websocket.Conn) {
		for {
			_, data, err := conn.ReadMessage()
			if err != nil {
				return
			}
			id, _, _ := strings.Cut(string(data[2:]), "[")
			if err := conn.WriteMessage(websocket.TextMessage, []byte("43"+id+`["x"]`)); err != nil {
				return
			}
		}
	})
	s, err := Dial(context.Background(), address, benchOptions)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	text := strings.Repeat("x", 128)
	for _, outstanding := range []int{1, 8} {
		b.Run(fmt.Sprintf("outstanding=%d", outstanding), func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(max(1, outstanding/runtime.GOMAXPROCS(0)))
			if outstanding > 1 {
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if _, err := Call[string](context.Background(), s, "echo", text); err != nil {
							b.Error(err)
						}
					}
				})
				return
			}
			for b.Loop() {
				if _, err := Call[string](context.Background(), s, "echo", text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkEmit is an event into the network, in a flood of them.
func BenchmarkEmit(b *testing.B) {
	address := benchServer(b, func(conn *websocket.Conn) {
		buf := make([]byte, 64<<10)
		for {
			if _, err := conn.NetConn().Read(buf); err != nil {
				return
			}
		}
	})
	s, err := Dial(context.Background(), address, benchOptions)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	text := strings.Repeat("x", 128)
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Emit(context.Background(), "event", text); err != nil {
			b.Fatal(err)
		}
	}
}
