package listener

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
)

// HRD-16: from the right, up to the first address that is not trusted.
func TestForwarded(t *testing.T) {
	s := newServer(t, Config{TrustedProxies: []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("fd00::/8"),
	}})
	defer s.cancel()
	tests := []struct {
		name, peer string
		xff        []string
		want       string
	}{
		{"stranger", "192.0.2.1:5", []string{"198.51.100.7"}, "192.0.2.1:5"},
		{"no header", "10.0.0.1:5", nil, "10.0.0.1:5"},
		{"one proxy", "10.0.0.1:5", []string{"198.51.100.7"}, "198.51.100.7:0"},
		{"forged left", "10.0.0.1:5", []string{"1.1.1.1, 198.51.100.7"}, "198.51.100.7:0"},
		{"two proxies", "10.0.0.1:5", []string{"198.51.100.7, 10.0.0.2"}, "198.51.100.7:0"},
		{"two lines", "10.0.0.1:5", []string{"1.1.1.1, 198.51.100.7", "10.0.0.2"}, "198.51.100.7:0"},
		{"all trusted", "10.0.0.1:5", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3:0"},
		{"not an address", "10.0.0.1:5", []string{"1.1.1.1, unknown, 10.0.0.2"}, "10.0.0.2:0"},
		{"nothing but words", "10.0.0.1:5", []string{"unknown"}, "10.0.0.1:5"},
		{"with port", "10.0.0.1:5", []string{"198.51.100.7:1234"}, "198.51.100.7:0"},
		{"version 6", "[fd00::1]:5", []string{"2001:db8::1"}, "[2001:db8::1]:0"},
		{"version 6 with port", "10.0.0.1:5", []string{"[2001:db8::1]:80"}, "[2001:db8::1]:0"},
		{"mapped", "[::ffff:10.0.0.1]:5", []string{"::ffff:198.51.100.7"}, "198.51.100.7:0"},
		{"empty", "10.0.0.1:5", []string{""}, "10.0.0.1:5"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = tt.peer
			r.Header["X-Forwarded-For"] = tt.xff
			s.forwarded(r)
			if r.RemoteAddr != tt.want {
				t.Errorf("RemoteAddr %s, want %s", r.RemoteAddr, tt.want)
			}
		})
	}
}

func TestForwardedHostAndScheme(t *testing.T) {
	s := newServer(t, Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	defer s.cancel()
	tests := []struct{ peer, proto, wantHost, wantScheme string }{
		{"10.0.0.1:5", "https", "chat.example", "https"},
		{"10.0.0.1:5", "wss", "chat.example", "https"},
		{"10.0.0.1:5", "ws", "chat.example", "http"},
		{"10.0.0.1:5", "gopher", "chat.example", ""},
		{"192.0.2.1:5", "https", "inner", ""},
	}
	for _, tt := range tests {
		r := httptest.NewRequest(http.MethodGet, "https://inner/", nil)
		r.RemoteAddr = tt.peer
		r.Header.Set("X-Forwarded-Host", "chat.example")
		r.Header.Set("X-Forwarded-Proto", tt.proto)
		s.forwarded(r)
		if r.Host != tt.wantHost || r.URL.Scheme != tt.wantScheme {
			t.Errorf("%+v: host %q, scheme %q", tt, r.Host, r.URL.Scheme)
		}
	}
}
