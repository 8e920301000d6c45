//go:build unix

package listener

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

func init() { child = serveAsChild }

// serveAsChild is this test binary as a server that may open 256 files. It ends
// with its standard input.
func serveAsChild() {
	r := syscall.Rlimit{Cur: 256, Max: 256}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	s, err := New(Config{Logger: quiet(), Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ok")
	})})
	if err == nil {
		err = s.Start("127.0.0.1:0")
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(s.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func startChild(t *testing.T) (addr string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"=1")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	addr, err = bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(addr)
}

// HRD-74, F19: with 256 descriptors and 400 clients, 192 are served, the others
// get 503 at once, and all slots are usable again afterwards.
func TestFileLimit(t *testing.T) {
	addr := startChild(t)
	for round := range 2 {
		served, refused := storm(t, addr, 400)
		if served != 192 || refused != 208 {
			t.Errorf("round %d: %d served, %d refused", round, served, refused)
		}
	}
}

// storm opens n connections and leaves them open until all have their answer.
func storm(t *testing.T, addr string, n int) (served, refused int) {
	t.Helper()
	for range n {
		c, err := net.DialTimeout("tcp", addr, patience)
		if err != nil {
			t.Fatal(err)
		}
		defer closeAndWait(c)
		_ = c.SetDeadline(time.Now().Add(patience))
		send(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		switch res, _ := answer(t, c); res.StatusCode {
		case http.StatusOK:
			served++
		case http.StatusServiceUnavailable:
			refused++
		}
	}
	return served, refused
}

// closeAndWait returns when the server has closed the connection too, so that its
// slot is free.
func closeAndWait(c net.Conn) {
	_ = c.(*net.TCPConn).CloseWrite()
	_, _ = io.Copy(io.Discard, c)
	_ = c.Close()
}
