// Package buildinfo knows what program this is: its version, the revision of its
// source, and what built it. Everything that tells of these asks here.
//
// Three kinds of build are told apart by what is there:
//
//   - A release says so with -ldflags, as in
//     -X github.com/fanwire/fanwire/internal/buildinfo.version=v1.2.3, likewise revision
//     (the full hash), committed (RFC 3339) and modified (true). An image is built without
//     the repository, so there nothing else could tell.
//   - `go build` in a checkout has the Go command write down what the repository says.
//   - `go install module@version` has the version alone; one that the Go command has made
//     from a commit (v0.0.0-20261129182000-07d0947abcde) holds its time and revision.
package buildinfo

import (
	"fmt"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// Set by -ldflags, see above.
var version, revision, committed, modified string

// Unknown is the version of a build that nothing is known of, as with `go run`.
const Unknown = "(devel)"

// Info is what is known of the program. Its JSON form is stable: fields are added, never
// renamed.
type Info struct {
	Version  string    `json:"version"`            // v1.2.3, or Unknown
	Revision string    `json:"revision,omitempty"` // the commit, in full where that is known
	Modified bool      `json:"modified"`           // built from files that are in no commit
	Time     time.Time `json:"time,omitzero"`      // of the commit
	Go       string    `json:"go"`                 // go1.26.0
	Platform string    `json:"platform"`           // linux/amd64
}

// Read tells about this program. It may be called at any time, and takes microseconds.
func Read() Info {
	build, _ := debug.ReadBuildInfo()
	return from(build, linked{version, revision, committed, modified})
}

// linked is what -ldflags said.
type linked struct{ version, revision, committed, modified string }

// from puts together what the Go command (nil if it said nothing) and the linker know.
// What the linker says of a commit counts as a whole: time and mark of another commit
// would be wrong.
func from(build *debug.BuildInfo, l linked) Info {
	info := Info{Version: Unknown, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if build != nil {
		info.fromGo(build)
	}
	if l.version != "" {
		info.Version = l.version
	}
	if l.revision != "" {
		info.Revision, info.Modified = l.revision, l.modified == "true"
		info.Time, _ = time.Parse(time.RFC3339, l.committed) // zero if there is none
	}
	return info
}

// made matches the end of a version that the Go command has made from a commit.
var made = regexp.MustCompile(`[-.](\d{14})-([0-9a-f]{12})(\+.*)?$`)

func (i *Info) fromGo(build *debug.BuildInfo) {
	if v := build.Main.Version; v != "" {
		i.Version = v
	}
	if m := made.FindStringSubmatch(i.Version); m != nil {
		i.Revision = m[2]
		i.Time, _ = time.Parse("20060102150405", m[1])
	}
	for _, s := range build.Settings {
		switch s.Key {
		case "vcs.revision":
			i.Revision = s.Value
		case "vcs.time":
			i.Time, _ = time.Parse(time.RFC3339, s.Value)
		case "vcs.modified":
			i.Modified = s.Value == "true"
		}
	}
}

// Commit is the revision, short, with "-modified" behind it if the files were in no
// commit; empty if it is unknown.
func (i Info) Commit() string {
	commit := i.Revision[:min(len(i.Revision), 12)]
	if commit != "" && i.Modified {
		commit += "-modified"
	}
	return commit
}

// String is all of it in one line.
func (i Info) String() string {
	parts := make([]string, 0, 4)
	if commit := i.Commit(); commit != "" {
		parts = append(parts, commit)
	}
	if !i.Time.IsZero() {
		parts = append(parts, i.Time.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("%s (%s)", i.Version, strings.Join(append(parts, i.Go, i.Platform), ", "))
}
