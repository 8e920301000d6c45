//go:build faults && amd64

package faults

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// F12: HRD-77. The wall clock of one node jumps, forth and back. The wheels that
// close sessions must not see it: the pings of this run are short, so that each
// client is pinged several times after each jump.
func TestF12(t *testing.T) {
	fault(t, "F12", "clock of one node 1 h off", func(r *run) {
		g := r.rig(setup{flags: []string{"-ping-interval", "1000", "-ping-timeout", "3000"}})
		g.calm(2 * time.Second)
		g.phase(during)
		n := g.nodes[0]
		set := wallClock(r.t, n)
		for _, by := range []time.Duration{time.Hour, -time.Hour, 0} {
			set(by)
			st, err := n.stats()
			if err != nil {
				r.t.Fatal(err)
			}
			off := time.Duration(st.Now - time.Now().UnixNano())
			g.check((off-by).Abs() < time.Minute, "the node's clock is %v off, want %v", off, by)
			g.note("the node's clock is %v off", off.Round(time.Second))
			g.calm(scaled(10*time.Second, 5*time.Second))
		}
		c := g.judge(question{})
		g.stayed()
		g.check(c.lost == 0, "%d deliveries lost", c.lost)
		g.allCounted(c)
	})
}

// wallClock returns what changes the wall clock of a running node, and of nothing
// else. Go asks the vDSO for the time, code that the kernel maps into every
// process, so neither a preloaded library nor a time namespace (which has no wall
// clock) changes it. This puts other code in its place in that process only: a
// plain system call that adds the difference for CLOCK_REALTIME. The binary is the
// ordinary one.
func wallClock(t *testing.T, s *server) (set func(by time.Duration)) {
	t.Helper()
	pid := s.cmd.Process.Pid
	offset := symbol(t, vdso(t), "__vdso_clock_gettime")
	// The image is the same in all processes, its place is not.
	at := mapping(t, strconv.Itoa(pid)) + offset
	return func(by time.Duration) {
		t.Helper()
		code := []byte{
			0xb8, 0xe4, 0x00, 0x00, 0x00, // mov eax, 228 (clock_gettime)
			0x0f, 0x05, // syscall
			0x85, 0xff, // test edi, edi (CLOCK_REALTIME is 0)
			0x75, 0x07, // jne to ret
			0x48, 0x81, 0x06, // add qword [rsi], difference in seconds
		}
		code = binary.LittleEndian.AppendUint32(code, uint32(int32(by/time.Second)))
		code = append(code, 0xc3) // ret
		stop(s)
		defer resume(s)
		eventually(t, "a moment when no thread asks for the time", func() bool {
			if outside(pid, at, at+4096) {
				return true
			}
			resume(s)
			time.Sleep(time.Millisecond)
			stop(s)
			return false
		})
		mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer mem.Close()
		if _, err := mem.WriteAt(code, int64(at)); err != nil {
			t.Fatal(err)
		}
	}
}

// vdso is the vDSO of this process, an ELF file.
func vdso(t *testing.T) []byte {
	t.Helper()
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	image := make([]byte, 8192)
	n, err := mem.ReadAt(image, int64(mapping(t, "self")))
	if n < 4096 {
		t.Fatal(err)
	}
	return image[:n]
}

// mapping is where the vDSO of a process begins.
func mapping(t *testing.T, pid string) uint64 {
	t.Helper()
	maps, err := os.ReadFile("/proc/" + pid + "/maps")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(maps)) {
		if strings.Contains(line, "[vdso]") {
			hex, _, _ := strings.Cut(line, "-")
			at, err := strconv.ParseUint(hex, 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			return at
		}
	}
	t.Fatal("no vDSO")
	return 0
}

func symbol(t *testing.T, image []byte, name string) uint64 {
	t.Helper()
	file, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	symbols, err := file.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range symbols {
		if s.Name == name {
			return s.Value
		}
	}
	t.Fatalf("no symbol %s", name)
	return 0
}

// outside tells whether all threads of a stopped process are stopped, outside of a
// piece of memory.
func outside(pid int, from, to uint64) bool {
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return false
	}
	for _, thread := range threads {
		state, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/syscall", pid, thread.Name()))
		f := strings.Fields(string(state))
		if err != nil || len(f) < 3 { // "running"
			return false
		}
		pc, err := strconv.ParseUint(strings.TrimPrefix(f[len(f)-1], "0x"), 16, 64)
		if err != nil || pc >= from && pc < to {
			return false
		}
	}
	return true
}
