package buildinfo

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

const full = "07d0947abcde0123456789abcdef0123456789ab"

func TestFrom(t *testing.T) {
	checkout := &debug.BuildInfo{Main: debug.Module{Version: "v1.2.4-0.20261129182000-07d0947abcde+dirty"}, Settings: []debug.BuildSetting{
		{Key: "vcs", Value: "git"},
		{Key: "vcs.revision", Value: full},
		{Key: "vcs.time", Value: "2026-11-29T18:20:00Z"},
		{Key: "vcs.modified", Value: "true"},
	}}
	module := func(version string) *debug.BuildInfo { return &debug.BuildInfo{Main: debug.Module{Version: version}} }
	tests := []struct {
		name  string
		build *debug.BuildInfo
		linked
		want string // without the version of Go and the platform
	}{
		{"nothing known", nil, linked{}, "(devel) ("},
		{"go run", module("(devel)"), linked{}, "(devel) ("},
		{"release", nil, linked{"v1.2.3", full, "2026-11-29T19:20:00+01:00", ""}, "v1.2.3 (07d0947abcde, 2026-11-29T18:20:00Z, "},
		{"release of changed files", nil, linked{"v1.2.3", full, "", "true"}, "v1.2.3 (07d0947abcde-modified, "},
		{"release, only the version is given", checkout, linked{version: "v1.2.3"}, "v1.2.3 (07d0947abcde-modified, 2026-11-29T18:20:00Z, "},
		{"the linker's commit is another one", checkout, linked{revision: "123"}, "v1.2.4-0.20261129182000-07d0947abcde+dirty (123, "},
		{"checkout", checkout, linked{}, "v1.2.4-0.20261129182000-07d0947abcde+dirty (07d0947abcde-modified, 2026-11-29T18:20:00Z, "},
		{"go install of a release", module("v1.2.3"), linked{}, "v1.2.3 ("},
		{"of a commit before all releases", module("v0.0.0-20261129182000-07d0947abcde"), linked{}, "v0.0.0-20261129182000-07d0947abcde (07d0947abcde, 2026-11-29T18:20:00Z, "},
		{"of a commit after a release", module("v1.2.4-0.20261129182000-07d0947abcde"), linked{}, "v1.2.4-0.20261129182000-07d0947abcde (07d0947abcde, 2026-11-29T18:20:00Z, "},
		{"a release candidate is no commit", module("v1.2.3-rc.1"), linked{}, "v1.2.3-rc.1 ("},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := tt.want + runtime.Version() + ", " + runtime.GOOS + "/" + runtime.GOARCH + ")"
			if got := from(tt.build, tt.linked).String(); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestJSON(t *testing.T) {
	got, err := json.Marshal(Info{Version: "v1", Revision: full, Time: time.Unix(0, 0).UTC(), Go: "go1", Platform: "a/b"})
	if want := `{"version":"v1","revision":"` + full + `","modified":false,"time":"1970-01-01T00:00:00Z","go":"go1","platform":"a/b"}`; err != nil || string(got) != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
	got, err = json.Marshal(Info{Version: Unknown, Go: "go1", Platform: "a/b"})
	if want := `{"version":"(devel)","modified":false,"go":"go1","platform":"a/b"}`; err != nil || string(got) != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
}

// The flags that the package comment names are those that a build understands.
func TestLinkerFlags(t *testing.T) {
	const name = "github.com/fanwire/fanwire/internal/buildinfo"
	program := filepath.Join(t.TempDir(), "program")
	flags := "-X " + name + ".version=v9.8.7 -X " + name + ".revision=" + full + " -X " + name + ".committed=2026-11-29T18:20:00Z -X " + name + ".modified=true"
	build := exec.Command("go", "test", "-c", "-o", program, "-ldflags", flags, name)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	run := exec.Command(program, "-test.run=^TestTellTheParent$", "-test.v")
	run.Env = append(os.Environ(), "FANWIRE_TEST_TELL=1")
	out, err := run.CombinedOutput()
	if want := "v9.8.7 (07d0947abcde-modified, 2026-11-29T18:20:00Z, "; err != nil || !strings.Contains(string(out), want) {
		t.Errorf("%v\n%s\nwant %s", err, out, want)
	}
}

// TestTellTheParent is the program of TestLinkerFlags; by itself it reads something.
func TestTellTheParent(t *testing.T) {
	info := Read()
	if info.Version == "" || info.Go == "" || info.Platform == "" {
		t.Errorf("%+v", info)
	}
	if os.Getenv("FANWIRE_TEST_TELL") != "" {
		t.Log(info)
	}
}
