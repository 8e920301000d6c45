//go:build unix

package node

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
)

// cpuTime is the processor's time that this process has had, in microseconds.
func cpuTime() float64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return float64(u.Utime.Sec+u.Stime.Sec)*1e6 + float64(u.Utime.Usec+u.Stime.Usec)
}

// BenchmarkPoll is one event to a client on polling, from the emit to the body of the
// GET that waits for it, over loopback with kept-alive connections. "forwarded" is
// the same through another node. The processor's time is that of all: nodes and
// client, which is the same in both.
func BenchmarkPoll(b *testing.B) {
	for _, via := range []string{"owner", "forwarded"} {
		b.Run(via, func(b *testing.B) {
			nodes := newMesh(b, 2, nil)
			owner, entry := nodes[0], nodes[0]
			if via == "forwarded" {
				entry = nodes[1]
			}
			p := owner.poll(b)
			p.connect(owner)
			conn, err := net.Dial("tcp", entry.http.Listener.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close()
			r := bufio.NewReader(conn)
			get := fmt.Appendf(nil, "GET %s&sid=%s HTTP/1.1\r\nHost: x\r\n\r\n", pollingQuery, p.sid)
			text := any(strings.Repeat("x", 128))
			b.ReportAllocs()
			begin := cpuTime()
			for b.Loop() {
				if _, err := conn.Write(get); err != nil {
					b.Fatal(err)
				}
				if err := owner.Emit(b.Context(), "news", text); err != nil {
					b.Fatal(err)
				}
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
					b.Fatal(resp.Status, err)
				}
			}
			b.ReportMetric((cpuTime()-begin)/float64(b.N), "cpu-µs/op")
		})
	}
}

// BenchmarkForwardedMessage is an echo with ack over a WebSocket, at the owner and
// through another node.
func BenchmarkForwardedMessage(b *testing.B) {
	for _, via := range []string{"owner", "forwarded"} {
		b.Run(via, func(b *testing.B) {
			nodes := newMesh(b, 2, nil)
			entry := nodes[0]
			if via == "forwarded" {
				entry = nodes[1]
			}
			w := nodes[0].poll(b).upgrade(entry)
			w.connect("/", "")
			event := `421["echo","` + strings.Repeat("x", 128) + `"]`
			b.ReportAllocs()
			begin := cpuTime()
			for b.Loop() {
				w.send(event)
				w.read()
			}
			b.ReportMetric((cpuTime()-begin)/float64(b.N), "cpu-µs/op")
		})
	}
}
