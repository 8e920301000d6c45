package redis

import "testing"

// TestStreamOfNamespace: the names that official nodes use (CLU-X-07, CLU-X-08).
func TestStreamOfNamespace(t *testing.T) {
	for _, tt := range []struct {
		count           int
		namespace, want string
	}{
		{1, "/", "socket.io"},
		{1, "/my-namespace", "socket.io"},
		{4, "/", "socket.io-3"}, // 47
		{4, "/my-namespace", "socket.io--3"},
		{7, "/é😀", "socket.io-1"},
		{3, "/chat", "socket.io-1"},
	} {
		cfg, err := StreamsConfig{StreamCount: tt.count}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		if got := cfg.stream(tt.namespace); got != tt.want {
			t.Errorf("%q of %d: %s instead of %s", tt.namespace, tt.count, got, tt.want)
		}
	}
}
