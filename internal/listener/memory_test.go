package listener

import (
	"testing"
	"testing/fstest"
)

// HRD-75.
func TestCgroupLimit(t *testing.T) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	tests := []struct {
		name  string
		files fstest.MapFS
		want  int64
	}{
		{"none", fstest.MapFS{}, 0},
		{"version 2", fstest.MapFS{
			"proc/self/cgroup":         file("0::/\n"),
			"sys/fs/cgroup/memory.max": file("268435456\n"),
		}, 268435456},
		{"version 2, no limit", fstest.MapFS{
			"proc/self/cgroup":         file("0::/\n"),
			"sys/fs/cgroup/memory.max": file("max\n"),
		}, 0},
		{"a parent is smaller", fstest.MapFS{
			"proc/self/cgroup":             file("0::/a/b\n"),
			"sys/fs/cgroup/a/b/memory.max": file("max\n"),
			"sys/fs/cgroup/a/memory.max":   file("1000\n"),
		}, 1000},
		{"outside the name space", fstest.MapFS{
			"proc/self/cgroup":         file("0::/../x\n"),
			"sys/fs/cgroup/memory.max": file("1000\n"),
		}, 1000},
		{"version 1", fstest.MapFS{
			"proc/self/cgroup":                           file("5:cpu:/\n4:hugetlb,memory:/host/path\n"),
			"sys/fs/cgroup/memory/memory.limit_in_bytes": file("2000\n"),
		}, 2000},
		{"version 1, no limit", fstest.MapFS{
			"proc/self/cgroup":                           file("4:memory:/\n"),
			"sys/fs/cgroup/memory/memory.limit_in_bytes": file("9223372036854771712\n"),
		}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := cgroupLimit(tt.files); got != tt.want {
				t.Errorf("limit %d, want %d", got, tt.want)
			}
		})
	}
}
