// Package leaktest ends the tests of a package with a look for goroutines that are left.
package leaktest

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience is how long goroutines may take to end. goleak itself waits for less than
// half a second, and a Redis client that was closed while its server was away dials on for one.
const patience = 30 * time.Second

// Main runs the tests, as the TestMain of a package, and fails if goroutines do not end
// after them. It does not return.
func Main(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if err := find(patience); err != nil {
			fmt.Fprintf(os.Stderr, "leaktest: goroutines are left after the tests: %v\n", err)
			code = 1
		}
	}
	os.Exit(code)
}

// find looks until there is none, or for as long as patience lasts.
func find(patience time.Duration) error {
	for end := time.Now().Add(patience); ; {
		err := goleak.Find()
		if err == nil || time.Now().After(end) {
			return err
		}
	}
}
