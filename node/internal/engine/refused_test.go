package engine

import (
	"net/http"
	"sync"
	"testing"
)

// The hook hears of every refusal, of a 503 with code -1.
func TestRefusedHook(t *testing.T) {
	var mu sync.Mutex
	var codes []int
	ts := newTestServer(t, Config{MaxSessions: 1, Refused: func(_ *http.Request, code int, _ string) {
		mu.Lock()
		defer mu.Unlock()
		codes = append(codes, code)
	}}, nil)
	ts.do(t, "GET", "EIO=4&transport=tesla", "")
	ts.handshake(t, "")
	if status, _ := ts.do(t, "GET", "EIO=4&transport=polling", ""); status != http.StatusServiceUnavailable {
		t.Errorf("status %d", status)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(codes) != 2 || codes[0] != codeUnknownTransport || codes[1] != codeOverloaded {
		t.Errorf("codes %v", codes)
	}
}
