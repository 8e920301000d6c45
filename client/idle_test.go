package client

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/fanwire/fanwire/internal/leaktest"
)

// idleServerEnv makes the test binary the server of TestIdle, so that what that
// costs is not counted.
const idleServerEnv = "FANWIRE_IDLE_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(idleServerEnv) != "" {
		serveIdle()
		return
	}
	leaktest.Main(m)
}

func serveIdle() {
	var t testing.B // for its Cleanup, which nobody calls: the process ends
	fmt.Println(benchServer(&t, func(conn *websocket.Conn) { _, _, _ = conn.ReadMessage() }))
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// TestIdle reports what an idle connection costs: one goroutine, and memory that
// makes 20,000 of them in one process comfortable.
func TestIdle(t *testing.T) {
	if raceDetector {
		t.Skip("SKIPPED: the race detector takes memory of its own")
	}
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), idleServerEnv+"=1")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		stdin.Close()
		_ = cmd.Wait()
	}()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	const n = 500
	sockets := make([]*Socket, n)
	dial := func(from, to int) {
		for i := from; i < to; i++ {
			if sockets[i], err = Dial(testContext(t), strings.TrimSpace(line), benchOptions); err != nil {
				t.Fatal(err)
			}
		}
	}
	dial(0, 10) // what is made once
	before, goroutines := memory(), runtime.NumGoroutine()
	dial(10, n)
	eventually(t, "one goroutine for each", func() bool { return runtime.NumGoroutine()-goroutines <= n-10 })
	each := (memory() - before) / (n - 10)
	t.Logf("%d bytes for each", each)
	if each > 24<<10 { // twice of what it is
		t.Error("too much")
	}
	for _, s := range sockets {
		s.Close()
	}
}

func memory() int {
	for range 4 { // stacks shrink by half at a time
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapInuse + m.StackInuse)
}
