//go:build unix

package listener

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func dialUnix(t *testing.T, path string) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("unix", path, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s := newServer(t, Config{UnixMode: 0o640, MaxPerAddress: 1, TrustUnix: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.RemoteAddr)
	})})
	if err := s.Start("unix:" + path); err != nil {
		t.Fatal(err)
	}
	if s.URL() != "unix:"+path {
		t.Error(s.URL())
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Error(info.Mode(), err)
	}
	for range 3 { // no address, no share of one
		c := dialUnix(t, path)
		send(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		if res, body := answer(t, c); res.StatusCode != http.StatusOK {
			t.Error(res.Status, body)
		}
	}
	c := dialUnix(t, path)
	send(t, c, "GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n")
	if _, body := answer(t, c); body != "192.0.2.1:0" {
		t.Error("the proxy's word:", body)
	}
	shutdown(t, s)
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Error("the file is left:", err)
	}
}

func TestUnixPeersAreNotTrusted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s := newServer(t, Config{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.RemoteAddr)
	})})
	if err := s.Start("unix:" + path); err != nil {
		t.Fatal(err)
	}
	defer shutdown(t, s)
	c := dialUnix(t, path)
	send(t, c, "GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n")
	if _, body := answer(t, c); strings.Contains(body, "192.0.2.1") {
		t.Error(body)
	}
}

// Only what a killed process has left is replaced.
func TestUnixStaleFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	dead, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	dead.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = dead.Close()
	s := newServer(t, Config{})
	if err := s.Start("unix:" + path); err != nil {
		t.Fatal("after a killed process:", err)
	}
	defer shutdown(t, s)

	other := newServer(t, Config{})
	if err := other.Start("unix:" + path); err == nil || !strings.Contains(err.Error(), "somebody listens") {
		t.Error("two on one socket:", err)
	}
	shutdown(t, other)
	send(t, dialUnix(t, path), "GET / HTTP/1.1\r\n")

	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("keep"), 0o600); err != nil {
		t.Fatal(err)
	}
	third := newServer(t, Config{})
	if err := third.Start("unix:" + file); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Error("over a file:", err)
	}
	shutdown(t, third)
	if text, err := os.ReadFile(file); err != nil || string(text) != "keep" {
		t.Error(string(text), err)
	}
}
