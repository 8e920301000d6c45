package leaktest

import (
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) { Main(m) }

func TestFind(t *testing.T) {
	end := make(chan struct{})
	go func() { <-end }()
	if err := find(time.Millisecond); err == nil || !strings.Contains(err.Error(), "TestFind") {
		t.Error(err)
	}
	time.AfterFunc(time.Second, func() { close(end) }) // later than goleak would wait
	if err := find(patience); err != nil {
		t.Error(err)
	}
}
