// Package control lets e2e/bench command the servers that it compares: one
// line on standard input, one line of JSON back. The server ends with its
// input.
package control

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strings"
)

// Listen opens the port that the driver is told by [Serve].
func Listen(port int) (net.Listener, error) {
	return net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
}

// Serve tells the driver where l listens and answers its commands until the
// input ends. stats may be nil. Profiles are written only when allowed.
func Serve(l net.Listener, profiles bool, stats func() any) error {
	c := commander{profiles: profiles, stats: stats}
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(map[string]int{"listening": l.Addr().(*net.TCPAddr).Port}); err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		answer, err := c.do(strings.Fields(lines.Text()))
		if err != nil {
			answer = map[string]string{"error": err.Error()}
		}
		if err := out.Encode(answer); err != nil {
			return err
		}
	}
	return lines.Err()
}

type commander struct {
	profiles bool
	stats    func() any
	profile  *os.File // of the CPU, running
}

func (c *commander) do(words []string) (any, error) {
	done := map[string]bool{"ok": true}
	switch {
	case len(words) == 1 && words[0] == "gc":
		debug.FreeOSMemory()
		return memory(), nil
	case len(words) == 1 && words[0] == "stats" && c.stats != nil:
		return c.stats(), nil
	case !c.profiles:
	case len(words) == 2 && words[0] == "profile":
		return done, c.startProfile(words[1])
	case len(words) == 1 && words[0] == "profile-stop":
		pprof.StopCPUProfile()
		return done, c.profile.Close()
	case len(words) == 2 && words[0] == "heap":
		return done, heap(words[1])
	}
	return nil, fmt.Errorf("unknown command %q", words)
}

func (c *commander) startProfile(path string) (err error) {
	if c.profile, err = os.Create(path); err != nil {
		return err
	}
	return pprof.StartCPUProfile(c.profile)
}

// memory is what the runtime has in use, in bytes. The driver reports it beside
// the resident set.
func memory() map[string]uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return map[string]uint64{
		"heap": m.HeapInuse, "objects": m.HeapAlloc, "stack": m.StackInuse,
		"runtime": m.MSpanInuse + m.MCacheInuse + m.GCSys + m.OtherSys + m.BuckHashSys,
	}
}

func heap(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	runtime.GC()
	if err := pprof.WriteHeapProfile(f); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}
