package watch

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/fanwire/fanwire/loadtest/internal/result"
)

// ticks is what /proc counts processor time in, per second: the same on all common
// systems.
const ticks = 100

// processor is the model of the machine's, if it says.
func processor() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range bytes.Lines(data) {
		if name, value, ok := bytes.Cut(line, []byte(":")); ok && string(bytes.TrimSpace(name)) == "model name" {
			return string(bytes.TrimSpace(value))
		}
	}
	return ""
}

// system names the system.
func system() string {
	name := runtime.GOOS + "/" + runtime.GOARCH
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		name += " " + strings.TrimSpace(string(release))
	}
	return name
}

// process looks at a process of this machine. The name is that of its program.
func process(pid int) (name string, _ result.NodeSample, _ error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return "", result.NodeSample{}, fmt.Errorf("process %d: %w", pid, err)
	}
	// The name is in parentheses and may have anything in it.
	begin, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	fields := strings.Fields(string(stat[end+1:]))
	if len(fields) < 22 || begin < 0 || begin > end {
		return "", result.NodeSample{}, fmt.Errorf("process %d: its state cannot be read", pid)
	}
	number := func(i int) float64 { v, _ := strconv.ParseFloat(fields[i], 64); return v }
	return string(stat[begin+1 : end]), result.NodeSample{
		CPU:      (number(11) + number(12)) / ticks,
		Resident: number(21) * float64(os.Getpagesize()),
	}, nil
}

// FindPID returns the process of this machine that listens on a port. Those of other
// users are not seen.
func FindPID(port int) (int, error) {
	inodes := make(map[string]bool)
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		data, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			f := strings.Fields(line)
			if len(f) < 10 || f[3] != "0A" { // listening
				continue
			}
			_, text, _ := strings.Cut(f[1], ":")
			if n, err := strconv.ParseUint(text, 16, 16); err == nil && int(n) == port {
				inodes["socket:["+f[9]+"]"] = true
			}
		}
	}
	if len(inodes) == 0 {
		return 0, fmt.Errorf("nobody on this machine listens on port %d", port)
	}
	names, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		if to, err := os.Readlink(name); err == nil && inodes[to] {
			return strconv.Atoi(strings.Split(name, "/")[2])
		}
	}
	return 0, errors.New("the process that listens there cannot be seen")
}
