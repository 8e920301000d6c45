package badinput

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

const (
	unknownTransport = `{"code":0,"message":"Transport unknown"}`
	unknownSID       = `{"code":1,"message":"Session ID unknown"}`
	badMethod        = `{"code":2,"message":"Bad handshake method"}`
	badRequest       = `{"code":3,"message":"Bad request"}`
	unsupported      = `{"code":5,"message":"Unsupported protocol version"}`
)

// want compares an answer; several bodies are separated by "|".
func want(t *testing.T, name string, status int, body string, wantStatus int, wantBody string) {
	t.Helper()
	if status != wantStatus || !strings.Contains("|"+wantBody+"|", "|"+body+"|") {
		t.Errorf("%.80q: %d %.200q, want %d %.200q", name, status, body, wantStatus, wantBody)
	}
}

func TestB01UnknownTransports(t *testing.T) {
	row(t, options{}, func(t *testing.T, s *stack) {
		for _, transport := range []string{"tesla", "__proto__", "constructor", "webtransport", "", "hasOwnProperty"} {
			status, body, _ := s.ask(t, request("GET", "/socket.io/?EIO=4&transport="+transport, "Connection: close\r\n"))
			want(t, transport, status, body, 400, unknownTransport)
		}
	})
}

func TestB02UnknownSessions(t *testing.T) {
	row(t, options{}, func(t *testing.T, s *stack) {
		for _, sid := range []string{"nope", "__proto__", "constructor", "%00", strings.Repeat("a", 4096), "toString"} {
			for _, method := range []string{"GET", "POST"} {
				status, body, _ := s.ask(t, request(method, "/socket.io/?EIO=4&transport=polling&sid="+sid, "Content-Length: 0\r\nConnection: close\r\n"))
				want(t, sid, status, body, 400, unknownSID)
			}
		}
	})
}

func TestB03VersionsAndMethods(t *testing.T) {
	row(t, options{}, func(t *testing.T, s *stack) {
		for _, version := range []string{"", "EIO=3&", "EIO=99&", "EIO=abc&"} {
			status, body, _ := s.ask(t, request("GET", "/socket.io/?"+version+"transport=polling", "Connection: close\r\n"))
			want(t, version, status, body, 400, unsupported)
			status, body, _ = s.ask(t, upgradeRequest(version+"transport=websocket"))
			want(t, version+" upgrade", status, body, 400, "Unsupported protocol version")
		}
		for _, method := range []string{"POST", "PUT", "DELETE", "TRACE"} {
			status, body, _ := s.ask(t, request(method, "/socket.io/?EIO=4&transport=polling", "Content-Length: 0\r\nConnection: close\r\n"))
			want(t, method, status, body, 400, badMethod)
		}
	})
}

func TestB04RefusedUpgrades(t *testing.T) {
	row(t, options{}, func(t *testing.T, s *stack) {
		for query, message := range map[string]string{
			"EIO=4&transport=websocket&sid=nope":      "Session ID unknown",
			"EIO=4&transport=websocket&sid=__proto__": "Session ID unknown",
			"EIO=4&transport=polling":                 "Bad request",
			"EIO=4&transport=__proto__":               "Transport unknown",
		} {
			status, body, header := s.ask(t, upgradeRequest(query))
			want(t, query, status, body, 400, message)
			if header.Get("Connection") != "close" {
				t.Errorf("%s: the connection stays", query)
			}
		}
		for range 50 {
			nc := s.dial(t)
			_, _ = io.WriteString(nc, upgradeRequest("EIO=4&transport=websocket"))
			reset(nc)
		}
		eventually(t, "nothing is left open", func() bool {
			return s.listener.Stats().Open == 1 && s.node.Stats().WebSocket == 1
		})
	})
}

func TestB05BrokenUpgradesAndFraming(t *testing.T) {
	row(t, options{}, func(t *testing.T, s *stack) {
		const query = "EIO=4&transport=websocket"
		get := upgradeRequest(query)
		for name, r := range map[string]string{
			"no key":             strings.Replace(get, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n", "", 1),
			"short key":          strings.Replace(get, "AAAAAAAAAAAAAAAAAAAAAA==", "abc", 1),
			"version 12":         strings.Replace(get, "Version: 13", "Version: 12", 1),
			"POST":               strings.Replace(get, "GET", "POST", 1),
			"no Connection":      strings.Replace(get, "Connection: Upgrade\r\n", "", 1),
			"length and chunked": request("POST", "/socket.io/?EIO=4&transport=polling", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n",
			"two lengths":        request("POST", "/socket.io/?EIO=4&transport=polling", "Content-Length: 1\r\nContent-Length: 1\r\n") + "1",
			"other lengths":      request("POST", "/socket.io/?EIO=4&transport=polling", "Content-Length: 1\r\nContent-Length: 2\r\n") + "1",
			"space before colon": "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost : x\r\n\r\n",
			"length -1":          request("POST", "/socket.io/?EIO=4&transport=polling", "Content-Length: -1\r\n"),
			"folded header":      request("GET", "/socket.io/?EIO=4&transport=polling", "X-A: a\r\n b\r\n"),
			"no Host":            "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\n\r\n",
		} {
			if status, body, _ := s.ask(t, r); status != 400 {
				t.Errorf("%s: %d %.200q, want 400", name, status, body)
			}
		}
	})
}

func TestB06LargeHeaders(t *testing.T) {
	row(t, options{}, func(t *testing.T, s *stack) {
		for name, headers := range map[string]string{
			"2,000 lines":         lines(2000, func(i int) string { return fmt.Sprintf("X-%d: a\r\n", i) }),
			"101 lines":           lines(101, func(i int) string { return fmt.Sprintf("X-%d: a\r\n", i) }),
			"128 KB in one line":  "X-A: " + strings.Repeat("a", 128<<10) + "\r\n",
			"128 KB in 100 lines": lines(90, func(i int) string { return fmt.Sprintf("X-%d: %s\r\n", i, strings.Repeat("a", 1400)) }),
		} {
			status, body, _ := s.ask(t, upgradeRequest("EIO=4&transport=websocket", headers))
			if status != 431 {
				t.Errorf("%s: %d %.200q, want 431", name, status, body)
			}
		}
	})
}

func TestB07UpgradeHeaders(t *testing.T) {
	row(t, options{}, func(t *testing.T, s *stack) {
		for name, header := range map[string]string{
			"spaces in a sub-protocol":    "Sec-WebSocket-Protocol: b" + strings.Repeat(" ", 14_000) + "x\r\n",
			"2,000 sub-protocols":         "Sec-WebSocket-Protocol: " + repeat("p", 2000, ",") + "\r\n",
			"constructor":                 "Sec-WebSocket-Extensions: constructor\r\n",
			"broken deflate":              "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=99; x=\"\r\n",
			"4,000 extensions":            "Sec-WebSocket-Extensions: " + strings.Repeat("a,", 4000) + "\r\n",
			"deflate, which is off":       "Sec-WebSocket-Extensions: permessage-deflate\r\n",
			"sub-protocol with a newline": "Sec-WebSocket-Protocol: a\x0bb\r\n",
		} {
			begin := time.Now()
			status, body, got := s.ask(t, upgradeRequest("EIO=4&transport=websocket", header))
			t.Logf("%s: %d in %v", name, status, time.Since(begin))
			switch {
			case status == 400:
			case status != 101:
				t.Errorf("%s: %d %.200q", name, status, body)
			case got.Get("Sec-WebSocket-Extensions") != "":
				t.Errorf("%s: extension %q", name, got.Get("Sec-WebSocket-Extensions"))
			default:
				// The first of a list of proper names is echoed, as officially (EIO-W-05).
				if p := got.Get("Sec-WebSocket-Protocol"); p != "" && !(p == "p" && name == "2,000 sub-protocols") {
					t.Errorf("%s: sub-protocol %.50q", name, p)
				}
			}
		}
	})
}

func TestB08Targets(t *testing.T) {
	row(t, options{}, func(t *testing.T, s *stack) {
		const path = "/socket.io/?EIO=4&transport=polling"
		for _, c := range []struct {
			name, target string
			status       string // acceptable
			body         string // if not empty
		}{
			{"bad escape", path + "&%zz", "400", badRequest},
			{"bad escape in a value", path + "&sid=%zz", "400", badRequest},
			{"escape cut off", path + "&a=%f", "400", badRequest},
			{"not UTF-8", path + "&a=%ff%fe", "200 400", ""},
			{"60,000 a", path + "&a=" + strings.Repeat("a", 60_000), "414 431", ""},
			{"two versions", "/socket.io/?EIO=4&EIO=3&transport=polling", "200", ""},
			{"two versions, the other first", "/socket.io/?EIO=3&EIO=4&transport=polling", "400", unsupported},
			{"semicolons", "/socket.io/?EIO=4;transport=polling", "400", unknownTransport},
			{"objects", path + "&t[]=1&__proto__[x]=1", "200", ""},
			{"2,000 names", path + lines(2000, func(i int) string { return fmt.Sprintf("&n%d", i) }), "200 414 431", ""},
			{"brackets", "http://[/", "400", ""},
			{"NUL", "/socket.io/\x00?EIO=4&transport=polling", "400", ""},
			{"above the root", "/../../etc/passwd", "404 400", ""},
			{"above the root, escaped", "/socket.io/%2e%2e/%2e%2e/etc/passwd", "400 404", ""},
			{"other path", "/<script>alert(1)</script>", "400 404", ""},
			{"JSONP", path + "&j=1);alert(1)//", "400", badRequest},
			{"JSONP by the book", path + "&j=0", "400", badRequest},
		} {
			status, body, _ := s.ask(t, request("GET", c.target, "Connection: close\r\n"))
			switch {
			case !strings.Contains(c.status, fmt.Sprint(status)):
				t.Errorf("%s: %d %.200q, want %s", c.name, status, body, c.status)
			case status == 200 && !strings.HasPrefix(body, `0{"sid":"`):
				t.Errorf("%s: not an ordinary session: %.200q", c.name, body)
			case c.body != "" && body != c.body:
				t.Errorf("%s: %.200q, want %q", c.name, body, c.body)
			}
			for _, echo := range []string{"alert", "etc", "script", "aaaa", "__proto__", "%zz"} {
				if strings.Contains(body, echo) {
					t.Errorf("%s: the answer echoes %q", c.name, echo)
				}
			}
		}
	})
}

func TestB09Origins(t *testing.T) {
	row(t, options{}, func(t *testing.T, s *stack) {
		const query = "EIO=4&transport="
		for _, origin := range []string{"http://evil.example", "null", "file://", "http://x.evil.example", "x"} {
			header := "Origin: " + origin + "\r\n"
			status, body, h := s.ask(t, request("GET", "/socket.io/?"+query+"polling", header, "Connection: close\r\n"))
			want(t, origin, status, body, 403, `{"code":4,"message":"Forbidden"}`)
			if allow := h.Get("Access-Control-Allow-Origin"); allow != "" {
				t.Errorf("%s is allowed: %q", origin, allow)
			}
			status, body, _ = s.ask(t, upgradeRequest(query+"websocket", header))
			want(t, origin+" upgrade", status, body, 400, "Forbidden")
		}
		for _, r := range []string{
			request("GET", "/socket.io/?"+query+"polling", "Origin: \x01bad\x7f\r\n"),
			upgradeRequest(query+"websocket", "Origin: \x01bad\x7f\r\n"),
		} {
			if status, body, _ := s.ask(t, r); status != 400 {
				t.Errorf("control characters: %d %q", status, body)
			}
		}
	})
}
