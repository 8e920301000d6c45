package api

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/fanwire/fanwire/client"
)

// officialEnv names the folder node_modules that holds the official server.
const officialEnv = "FANWIRE_NODE_MODULES"

// startOfficial starts an official node and returns its address.
func startOfficial(t *testing.T, redis string) string {
	t.Helper()
	modules := os.Getenv(officialEnv)
	if modules == "" {
		t.Skipf("SKIPPED: %s is not set; it names a node_modules folder with socket.io", officialEnv)
	}
	cmd := exec.Command("node", "testdata/official.mjs", redis)
	cmd.Env = append(os.Environ(), "NODE_MODULES="+modules)
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
		stdin.Close()
		_ = cmd.Wait()
	})
	port, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return "http://127.0.0.1:" + strings.TrimSpace(port)
}

// The API of gateways in one cluster with an official node.
func TestOfficialNode(t *testing.T) {
	c := newCluster(t, 2)
	address := startOfficial(t, c.redis.Addr())
	c.acquainted(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	opts := client.Options{Transports: []string{"websocket"}, Logger: quiet()}
	opts.Reconnect.Disabled = true
	heard := make(chan string, 10)
	theirs, err := client.Dial(ctx, address, opts, func(s *client.Socket) {
		client.On(s, "e", func(_ context.Context, text string) { heard <- text })
		client.Handle(s, "ask", func(context.Context, client.None) (string, error) { return "theirs", nil })
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(theirs.Close)
	ours := c.nodes[1].connect(t, "/", auth{"user": "anna", "rooms": []string{"mixed"}}, func(s *client.Socket) {
		client.Handle(s, "ask", func(context.Context, client.None) (string, error) { return "ours", nil })
	})
	g := c.nodes[0]
	eventually(t, "the official node has subscribed", func() bool {
		var list listOf
		g.get(t, "/v1/nodes", &list)
		return list.Unnamed == 1
	})
	start := time.Now()
	for path, want := range map[string]string{
		"sockets?room=mixed": `"missing":[],"unnamed":0}`,
		"rooms/mixed":        `"sockets":2,"anonymous":1,"missing":[],"unnamed":0}`,
		"rooms":              `{"rooms":[{"name":"mixed","sockets":1}],"missing":[],"unnamed":1}`,
	} {
		a := g.do(t, allKey, "GET", "/v1/namespaces/%2F/"+path, "")
		if !strings.HasSuffix(a.text, want) || strings.HasPrefix(path, "sockets") && strings.Count(a.text, `"handshake"`) != 2 {
			t.Errorf("%s: %s", path, a.text)
		}
	}
	var s socketView
	g.get(t, "/v1/namespaces/%2F/sockets/"+theirs.ID(), &s)
	if s.ID != theirs.ID() || s.Node != "" || string(s.Data) != `{"nick":"official"}` || s.Handshake.Address != "127.0.0.1" {
		t.Errorf("%+v", s)
	}
	if took := time.Since(start); took > askTimeout {
		t.Errorf("four answers took %v", took)
	}
	g.send(t, "POST", "/v1/emit", `{"to":["mixed"],"event":"e","args":["hello"]}`, 204)
	if got := <-heard; got != "hello" {
		t.Error(got)
	}
	ours.hears(t, `e ["hello"]`)
	if got := g.ask(t, "/v1/emit", `{"to":["mixed"],"event":"ask","ack":true}`); got != "[ours theirs] 2 2 true false [] 0" {
		t.Error(got)
	}
	got := g.ask(t, "/v1/server-emit", `{"event":"count","args":["x"],"ack":true}`)
	if !strings.HasPrefix(got, "[<nil> official x] 2 2 true") {
		t.Error(got)
	}
	gone := make(chan struct{})
	theirs.OnDisconnect(func(context.Context, client.Disconnect) { close(gone) })
	g.send(t, "POST", "/v1/namespaces/%2F/sockets/"+theirs.ID()+"/disconnect", `{}`, 204)
	select {
	case <-gone:
	case <-time.After(patience):
		t.Error("theirs is not disconnected")
	}
}
