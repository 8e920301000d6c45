//go:build faults

package faults

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// balancer is HAProxy with the recipe that reads the node from the session id, in
// which the addresses and names of the nodes are put, and its admin socket.
type balancer struct {
	*process
	url, admin string
}

func startBalancer(t testing.TB, nodes []*server) *balancer {
	t.Helper()
	file := "haproxy-sid.cfg"
	if *officialFlag != "" {
		file = "haproxy-cookie.cfg"
	}
	recipe, err := os.ReadFile(filepath.Join("..", "..", "docs", "balancers", file))
	if err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	places := []string{"bind :8080", "bind 127.0.0.1:" + port}
	for i, n := range nodes {
		name := fmt.Sprintf("node%d", i+1)
		places = append(places, name+":3000", n.host(), name, n.id)
	}
	text := strings.NewReplacer(places...).Replace(string(recipe))
	dir := t.TempDir()
	admin := filepath.Join(dir, "admin")
	text = strings.Replace(text, "global\n", "global\n    stats socket "+admin+" level admin\n", 1)
	config := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	b := &balancer{process: start(t, "haproxy", []string{"haproxy", "-db", "-f", config}), url: "http://127.0.0.1:" + port, admin: admin}
	eventually(t, "an answer through the balancer", func() bool {
		res, err := http.Get(b.url + "/readyz")
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	return b
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// do gives HAProxy a command.
func (b *balancer) do(t testing.TB, command string) string {
	t.Helper()
	c, err := net.Dial("unix", b.admin)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, command+"\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}
