//go:build linux

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of /proc/<pid>/stat, fixed by the kernel's ABI.
const tick = 10 * time.Millisecond

// cpuTime is what process pid has used in user and kernel mode, all threads.
// Work of the loopback device done while sending counts to the sender.
func cpuTime(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name in brackets may hold anything; fields are counted behind it.
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat: %d fields", pid, len(f))
	}
	user, err1 := strconv.ParseInt(f[11], 10, 64)
	system, err2 := strconv.ParseInt(f[12], 10, 64)
	if err1 != nil || err2 != nil {
		return 0, fmt.Errorf("/proc/%d/stat: %q", pid, b)
	}
	return time.Duration(user+system) * tick, nil
}

// resident is the resident set of pid in bytes. The figure in status is
// approximate on many CPUs, this one is counted.
func resident(pid int) (int64, error) {
	n, err := field(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Rss:")
	return n * 1024, err
}

// bytesRead is what pid got from read calls, sockets included.
func bytesRead(pid int) (int64, error) {
	return field(fmt.Sprintf("/proc/%d/io", pid), "rchar:")
}

func field(path, name string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for s.Scan() {
		w := strings.Fields(s.Text())
		if len(w) > 1 && w[0] == name {
			return strconv.ParseInt(w[1], 10, 64)
		}
	}
	return 0, fmt.Errorf("%s: no %s", path, name)
}

// busyTime is what all CPUs spent on anything but idling, including what the
// hypervisor took.
func busyTime() (time.Duration, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	var total int64
	for i, w := range strings.Fields(line)[1:] {
		n, err := strconv.ParseInt(w, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		if i < 8 && i != 3 && i != 4 { // 3 and 4 are idle and waiting for disks
			total += n
		}
	}
	return time.Duration(total) * tick, nil
}

func loadAverage() string {
	b, _ := os.ReadFile("/proc/loadavg")
	f := strings.Fields(string(b))
	if len(f) < 3 {
		return "unknown"
	}
	return strings.Join(f[:3], " ")
}

func cpuModel() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// usage is what a stretch of a run has cost.
type usage struct {
	cpu     []time.Duration // of each watched process
	wall    time.Duration
	foreign float64 // share of the machine that others used meanwhile
}

func (u usage) total() time.Duration {
	var sum time.Duration
	for _, d := range u.cpu {
		sum += d
	}
	return sum
}

// meter measures the processes pids from its creation to read.
type meter struct {
	pids  []int // the last one is the driver itself
	cpu   []time.Duration
	busy  time.Duration
	start time.Time
}

func newMeter(pids ...int) (*meter, error) {
	m := &meter{pids: append(pids, os.Getpid()), start: time.Now()}
	var err error
	if m.cpu, err = m.sample(); err != nil {
		return nil, err
	}
	m.busy, err = busyTime()
	return m, err
}

func (m *meter) sample() ([]time.Duration, error) {
	all := make([]time.Duration, len(m.pids))
	for i, pid := range m.pids {
		var err error
		if all[i], err = cpuTime(pid); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (m *meter) read(cpus int) (usage, error) {
	u := usage{wall: time.Since(m.start)}
	now, err := m.sample()
	if err != nil {
		return u, err
	}
	busy, err := busyTime()
	if err != nil {
		return u, err
	}
	foreign := busy - m.busy
	for i := range now {
		d := now[i] - m.cpu[i]
		foreign -= d
		u.cpu = append(u.cpu, d)
	}
	u.cpu = u.cpu[:len(u.cpu)-1] // without the driver
	u.foreign = max(0, foreign.Seconds()/(u.wall.Seconds()*float64(cpus)))
	return u, nil
}
