package listener

import (
	"io/fs"
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// SetMemoryLimit sets the soft memory limit of the Go runtime to 90 % of what the
// control group allows (HRD-75), unless there is a limit already (GOMEMLIMIT) or
// none to keep. It returns the limit in force, 0 for none. A program calls it
// first in main; a library never does.
func SetMemoryLimit() int64 {
	if now := memoryLimit(); now != 0 {
		return now
	}
	limit := cgroupLimit(os.DirFS("/"))
	if limit == 0 {
		return 0
	}
	limit = limit / 10 * 9
	debug.SetMemoryLimit(limit)
	return limit
}

// cgroupLimit is the smallest memory limit between the process's control group
// and the root, in bytes; 0 for none. Versions 1 and 2 are read.
func cgroupLimit(root fs.FS) int64 {
	list, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0
	}
	lowest := int64(math.MaxInt64)
	for line := range strings.Lines(string(list)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3) // id:controllers:path
		if len(f) < 3 {
			continue
		}
		switch {
		case f[0] == "0" && f[1] == "":
			lowest = min(lowest, lowestIn(root, "sys/fs/cgroup", f[2], "memory.max"))
		case strings.Contains(","+f[1]+",", ",memory,"):
			lowest = min(lowest, lowestIn(root, "sys/fs/cgroup/memory", f[2], "memory.limit_in_bytes"))
		}
	}
	if lowest >= 1<<62 { // version 1 writes "none" as a very large number
		return 0
	}
	return lowest
}

// lowestIn reads file in group and in every group above it. In a container the
// path may be the host's; then only the top exists, and is the container's own.
func lowestIn(root fs.FS, mount, group, file string) int64 {
	lowest := int64(math.MaxInt64)
	for dir := path.Join(mount, path.Clean("/"+group)); len(dir) >= len(mount); dir = path.Dir(dir) {
		text, err := fs.ReadFile(root, path.Join(dir, file))
		if err != nil {
			continue
		}
		if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 {
			lowest = min(lowest, n)
		}
	}
	return lowest
}
